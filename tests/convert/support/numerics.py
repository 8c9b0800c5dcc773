"""Numerics alone as graphs, and the comparison of formula and nodes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper

from convert.export.graph.opset import OPSET
from convert.export.numerics import Fragment, Head, ImageInput

# one float32 rounding per operation, of values around 1
TOLERANCE = 1e-6
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def run_model(model: onnx.ModelProto, feeds: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Return every output of a graph, by name."""
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(feeds)), strict=True))


def make_model(graph: onnx.GraphProto) -> onnx.ModelProto:
    """Wrap a graph, at the opset of exported models."""
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)


def run_input(image: ImageInput, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Run the nodes of an image input: (N, H, W, C) uint8 to (N, C, H, W) float32."""
    outputs = run_fragment(image.nodes("x"), {"image": pixels}, ["x"])
    return np.asarray(outputs["x"], np.float32)


def run_head(head: Head, features: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """Run the nodes of a head on one network output."""
    height, width = features.shape[2:] if features.ndim == 4 else (1, 1)
    inputs = ImageInput(height, width, 3, MEAN, STD).tensors
    names = [tensor.name for tensor in head.tensors([features.shape], inputs)]
    return run_fragment(head.nodes("features"), {"features": features}, names)


def check_head(head: Head, features: Sequence[Any]) -> dict[str, NDArray[Any]]:
    """Assert that formula and nodes of a head agree, and return the outputs of the nodes."""
    array = np.array(features, np.float32)
    formula, nodes = head.apply(array), run_head(head, array)
    assert formula.keys() == nodes.keys()
    for name in formula:
        assert formula[name].dtype == np.float32
        np.testing.assert_allclose(nodes[name], formula[name], atol=TOLERANCE, err_msg=name)
    return nodes


def run_fragment(
    fragment: Fragment, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str]
) -> dict[str, Any]:
    """Run nodes on their inputs; return the named outputs."""
    graph = helper.make_graph(
        list(fragment.nodes),
        "g",
        [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(array.dtype), ["N", *array.shape[1:]]
            )
            for name, array in feeds.items()
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        list(fragment.initializers),
    )
    return run_model(make_model(graph), feeds)

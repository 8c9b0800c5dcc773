"""A Pad with 0 before a MaxPool, which onnxruntime fuses into a pool that pads with infinity."""

from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from convert.export.graph.opset import OPSET
from convert.export.graph.surgery import simplify
from tests.convert.export.graph.test_surgery import model, picture, run, value

PADS = {"pads": np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64)}
ZERO = {"zero": np.zeros((), np.float32)}
BELOW_ZERO = -np.abs(picture(2)) - 1


def pad(*constants: str, **attributes: str) -> onnx.NodeProto:
    return helper.make_node("Pad", ["x", "pads", *constants], ["padded"], **attributes)


def pool(name: str = "padded") -> onnx.NodeProto:
    return helper.make_node("MaxPool", [name], ["y"], kernel_shape=[3, 3], strides=[2, 2])


def transpose(source: str, target: str, perm: Sequence[int]) -> onnx.NodeProto:
    return helper.make_node("Transpose", [source], [target], perm=list(perm))


CONSTANT = helper.make_node(
    "Constant", [], ["zero"], value=numpy_helper.from_array(ZERO["zero"], "value")
)
GRAPHS: dict[str, tuple[list[onnx.NodeProto], dict[str, np.ndarray]]] = {
    "no value": ([pad(), pool()], PADS),
    "value": ([pad("zero", mode="constant"), pool()], PADS | ZERO),
    "value of a node": ([CONSTANT, pad("zero"), pool()], PADS),
    "behind a node that goes": (
        [pad(), helper.make_node("Identity", ["padded"], ["i"]), pool("i")],
        PADS,
    ),
    "between two layouts": (
        [
            pad(),
            transpose("padded", "last", (0, 2, 3, 1)),
            transpose("last", "first", (0, 3, 1, 2)),
            pool("first"),
        ],
        PADS,
    ),
}


def as_it_is(graph: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (output,) = session.run(None, {"x": x})
    return np.asarray(output)


@pytest.mark.parametrize("name", GRAPHS)
def test_zeros_around_negative_values_stay_the_largest(name: str) -> None:
    nodes, constants = GRAPHS[name]
    graph = model(nodes, constants, inputs=[value("x", ["N", 3, 4, 4])])
    expected = as_it_is(graph, BELOW_ZERO)
    assert (expected[:, :, 0] == 0).all()  # windows at the edge
    assert (expected[:, :, 1:, 1:] < 0).all()
    simple = simplify(graph)
    np.testing.assert_array_equal(as_it_is(simple, BELOW_ZERO), expected)
    # as it is served: with every optimization of onnxruntime
    np.testing.assert_array_equal(run(simple, BELOW_ZERO)[0], expected)


def test_other_pads_stay_as_they_are() -> None:
    weight = {"w": np.ones((2, 3, 3, 3), np.float32)}
    conv = helper.make_node("Conv", ["padded", "w"], ["y"], kernel_shape=[3, 3])
    (folded,) = simplify(model([pad(), conv], PADS | weight)).graph.node
    assert folded.op_type == "Conv"  # with the Pad inside
    low = {"zero": np.full((), -9, np.float32)}
    for nodes, constants in (
        ([pad("zero"), pool()], PADS | low),
        ([pad(mode="reflect"), pool()], PADS),
    ):
        simple = simplify(model(nodes, constants))
        assert not any("negative_zero" in tensor.name for tensor in simple.graph.initializer)
        assert [node.op_type for node in simple.graph.node] == ["Pad", "MaxPool"]


def test_a_pad_of_doubles_keeps_their_type() -> None:
    inputs = [helper.make_tensor_value_info("x", TensorProto.DOUBLE, ["N", 3, 4, 4])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.DOUBLE, None)]
    constants = [numpy_helper.from_array(PADS["pads"], "pads")]
    graph = helper.make_graph([pad(), pool()], "g", inputs, outputs, constants)
    whole = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    doubles = BELOW_ZERO.astype(np.float64)
    np.testing.assert_array_equal(run(simplify(whole), doubles)[0], as_it_is(whole, doubles))

"""ONNX graphs of a few nodes, from `image` to `probabilities`, and their reference outputs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from runtime.artifact.manifest import Spec, TensorSpec
from tests.convert.support.parity import rows

SIDE = 4
PIXELS = np.random.default_rng(0).integers(0, 256, (5, SIDE, SIDE, 3)).astype(np.uint8)
SAMPLES = rows(PIXELS)


def write_mean(path: Path, *, offset: float = 0.0) -> Path:
    """Write a graph of the mean of each channel, plus an offset."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("Add", ["mean", "offset"], ["probabilities"]),
    ]
    return _write(path, nodes, {"offset": np.array(offset, np.float32)})


def write_fake_int8(path: Path) -> Path:
    """Write a mean with INT8 weights that computes in float: onnxruntime folds them back."""
    nodes = [
        helper.make_node("DequantizeLinear", ["small", "step", "zero"], ["weight"], axis=0),
        helper.make_node("Conv", ["x", "weight"], ["map"], kernel_shape=[1, 1]),
        helper.make_node("ReduceMean", ["map"], ["probabilities"], axes=[2, 3], keepdims=0),
    ]
    constants = {
        "small": np.eye(3, dtype=np.int8)[:, :, None, None] * np.int8(100),
        "step": np.full(3, 0.01, np.float32),
        "zero": np.zeros(3, np.int8),
    }
    return _write(path, nodes, constants)


def write_centred(path: Path) -> Path:
    """Write a graph that subtracts the mean over all rows of a batch from each row."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("ReduceMean", ["mean"], ["centre"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["mean", "centre"], ["probabilities"]),
    ]
    return _write(path, nodes, {})


def means(images: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    """Return the outputs of `write_mean` without an offset."""
    return {"probabilities": (images / np.float32(255)).mean(axis=(1, 2), dtype=np.float32)}


def spec() -> Spec:
    return Spec(
        schema_version=1,
        id="tiny",
        task="image-classification",
        description="",
        labels=("red", "green", "blue"),
        inputs=(TensorSpec("image", "uint8", ("N", SIDE, SIDE, 3)),),
        outputs=(TensorSpec("probabilities", "float32", ("N", 3)),),
        preprocess=(),
        licence="Apache-2.0",
    )


def _write(
    path: Path, nodes: Sequence[onnx.NodeProto], constants: Mapping[str, NDArray[np.generic]]
) -> Path:
    """Write nodes that read `x`, the image as (N, 3, 4, 4) float32 in [0, 1]."""
    pixels = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["pixels"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Div", ["planes", "scale"], ["x"]),
    ]
    arrays = {"scale": np.array(255, np.float32), **constants}
    shape: list[int | str] = ["N", SIDE, SIDE, 3]
    graph = helper.make_graph(
        [*pixels, *nodes],
        "g",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path

"""Enlarging integer maps by copies: the same values, and only where a Resize repeats them."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from convert.quantize.passes.repeat_pixels import repeat_pixels
from runtime.engine.session import Session

SHAPES = {"resized": (0, 5, 12, 18)}


def enlargement(
    factor: float = 3.0, *, after: float = 0.1, mode: str = "nearest", **options: str
) -> onnx.ModelProto:
    """Return a graph from uint8 (N, 5, H, W) to uint8, resized between two conversions."""
    attributes = {
        "coordinate_transformation_mode": "asymmetric",
        "nearest_mode": "floor",
        **options,
    }
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "step", "zero"], ["float"], "before"),
        helper.make_node(
            "Resize", ["float", "", "scales"], ["resized"], "r", mode=mode, **attributes
        ),
        helper.make_node("QuantizeLinear", ["resized", "step_after", "zero"], ["y"], "after"),
    ]
    constants = {
        "step": np.float32(0.1),
        "step_after": np.float32(after),
        "zero": np.uint8(7),
        "scales": np.array([1, 1, factor, factor], np.float32),
    }
    values = [helper.make_tensor_value_info(n, TensorProto.UINT8, ["N", 5, "H", "W"]) for n in "xy"]
    tensors = [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


@pytest.mark.parametrize("factor", [2, 3])
def test_maps_are_repeated_as_resize_does(factor: int, tmp_path: Path) -> None:
    before = enlargement(factor)
    shapes = {"resized": (0, 5, 4 * factor, 6 * factor)}
    after = repeat_pixels(before, shapes)
    assert "Resize" not in [node.op_type for node in after.graph.node]
    onnx.save(before, tmp_path / "before.onnx")
    onnx.save(after, tmp_path / "after.onnx")
    x = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 6), np.uint8)
    a, b = (Session(tmp_path / name).run({"x": x})["y"] for name in ("before.onnx", "after.onnx"))
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(b, x.repeat(factor, axis=2).repeat(factor, axis=3))


@pytest.mark.parametrize(
    "model",
    [
        enlargement(after=0.11),  # rounds anew
        enlargement(1.5),
        enlargement(8.0),
        enlargement(mode="linear"),
        enlargement(nearest_mode="ceil"),
        enlargement(coordinate_transformation_mode="align_corners"),
    ],
)
def test_other_enlargements_stay(model: onnx.ModelProto) -> None:
    assert repeat_pixels(model, SHAPES) is model


def test_maps_of_unknown_size_stay() -> None:
    model = enlargement()
    assert repeat_pixels(model, {}) is model
    assert repeat_pixels(model, {"resized": (0, 5, 0, 18)}) is model

"""Shared ranges: of what is moved, of what is joined, and what onnxruntime then rounds."""

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from convert.export.graph.surgery import initializers
from convert.quantize.passes.shared_ranges import joined_ranges, moved_ranges
from convert.quantize.quantizer import QuantizationConfig, Quantizer, all_op_types
from tests.convert.support import nets
from tests.convert.support.parity import write_float_graph

RANGES = {
    "a": (-1.0, 2.0),
    "small": (0.0, 1.0),
    "large": (-0.5, 1.9),
    "b": (-3.0, 1.0),
    "joined": (-3.0, 1.9),
    "c": (0.0, 5.0),
    "twice": (-2.9, 5.0),
    "other": (0.0, 9.0),
}


def joins() -> onnx.ModelProto:
    """Join a pooled and a resized tensor with b, and the result with c; `other` is apart."""
    nodes = [
        helper.make_node("MaxPool", ["a"], ["small"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Resize", ["small", "", "s"], ["large"], mode="nearest"),
        helper.make_node("Concat", ["large", "b"], ["joined"], axis=1),
        helper.make_node("Concat", ["joined", "c"], ["twice"], axis=1),
        helper.make_node("Relu", ["twice"], ["other"]),
    ]
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("a", "other")]
    return helper.make_model(helper.make_graph(nodes, "g", values[:1], values[1:]))


def test_moved_values_have_the_range_of_their_source() -> None:
    shared = moved_ranges(joins(), RANGES)
    assert shared == {**RANGES, "small": RANGES["a"], "large": RANGES["a"]}


def test_joined_values_have_a_range_that_holds_them_all() -> None:
    members = dict.fromkeys(("a", "small", "large", "b", "joined", "c", "twice"), (-3.0, 5.0))
    assert joined_ranges(joins(), RANGES) == {**RANGES, **members}


def test_interpolated_values_have_a_range_of_their_own() -> None:
    model = joins()
    model.graph.node[1].attribute[0].s = b"linear"
    assert moved_ranges(model, RANGES)["large"] == RANGES["large"]


@pytest.mark.parametrize("shared", [False, True])
def test_a_join_of_one_range_rounds_nothing(shared: bool, tmp_path: Path) -> None:
    import torch
    from torch import nn

    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(3, 16, 3, padding=1)
            self.last = nn.Conv2d(32, nets.CLASSES, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            parts = self.first(x).relu(), 5 * self.second(x).sigmoid()
            return self.last(torch.cat(parts, 1)).mean((2, 3))

    model = write_float_graph(nets.loaded(Branches()), tmp_path / "float.onnx")
    quantizer = Quantizer(model, nets.sample_sets().calibration)
    assert quantizer.has_joins
    quantized = quantizer.quantize(QuantizationConfig(all_op_types(), shared_ranges=shared))
    constants = initializers(quantized)
    producers = {name: node for node in quantized.graph.node for name in node.output}
    (join,) = (node for node in quantized.graph.node if node.op_type == "Concat")
    read = [producers[name] for name in join.input]
    written = [node for node in quantized.graph.node if join.output[0] in node.input]
    assert {node.op_type for node in read} == {"DequantizeLinear"}
    steps = {float(constants[node.input[1]]) for node in (*read, *written)}
    assert (len(steps) == 1) is shared

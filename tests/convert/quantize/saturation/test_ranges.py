"""Ranges of weights with which no pair of products saturates."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from convert.export.graph.surgery import initializers
from convert.quantize.learn.learned import Learned, LearnedLayer
from convert.quantize.quantizer import QuantizationConfig, Quantizer, all_op_types
from convert.quantize.saturation import integer_layers, may_saturate
from convert.quantize.saturation.ranges import no_saturation_ranges
from tests.convert.support import nets
from tests.convert.support.parity import write_float_graph

RNG = np.random.default_rng(3)


def layer(op_type: str, weights: NDArray[np.float32], **attributes: Any) -> onnx.ModelProto:
    node = helper.make_node(op_type, ["x", "w"], ["y"], "layer", **attributes)
    graph = helper.make_graph([node], "g", [], [], [numpy_helper.from_array(weights, "w")])
    return helper.make_model(graph)


def test_ranges_are_as_wide_as_the_pairs_of_a_channel_need() -> None:
    weights = np.array([[1, 1, 0, 0], [1, 0, -1, 0], [1, -1, 0.5, 0.25], [0, 0, 0, 0]], np.float32)
    (ranges,) = no_saturation_ranges(layer("Gemm", weights, transB=1), {}).values()
    limits = [channel["rmax"] for channel in ranges]
    np.testing.assert_allclose(limits, [2, 1, 1, 0])  # a pair of ones; ones in different pairs
    assert {channel["axis"] for channel in ranges} == {0}
    assert all(channel["rmin"] == -channel["rmax"] for channel in ranges)


def test_weights_rounded_in_these_ranges_never_saturate() -> None:
    for depth in (3, 8, 27):
        weights = RNG.standard_normal((depth, 64)).astype(np.float32)
        weights[:2] = np.abs(weights[:2]).max()  # two equal neighbours, the largest of all
        (ranges,) = no_saturation_ranges(layer("MatMul", weights), {}).values()
        assert {channel["axis"] for channel in ranges} == {1}
        limits = np.array([channel["rmax"] for channel in ranges], np.float32)
        integers = np.rint(weights / limits * 127).astype(np.int8)
        assert not may_saturate(integers)
        assert abs(integers[:2].astype(int)).max() == 64


def test_depthwise_convolutions_keep_their_full_ranges() -> None:
    depthwise = np.ones((4, 1, 3, 3), np.float32)
    assert no_saturation_ranges(layer("Conv", depthwise, group=4), {}) == {}


def test_learned_weights_never_saturate(tmp_path: Path) -> None:
    model = write_float_graph(nets.loaded(nets.convolutions(layers=2)), tmp_path / "float.onnx")
    quantizer = Quantizer(model, nets.sample_sets().calibration[:4])
    config = QuantizationConfig(all_op_types(), learned=True)
    # a tenth larger than the graph's: in the ranges of those their pairs would saturate
    larger = {
        node.name: LearnedLayer(1.1 * initializers(model)[node.input[1]], None)
        for node in model.graph.node
        if node.op_type == "Conv"
    }
    quantizer.learned = Learned(larger)
    saturating, reduced = (
        [layer.may_saturate for layer in integer_layers(quantizer.quantize(settings))]
        for settings in (config, replace(config, reduce_range=True))
    )
    assert any(saturating)
    assert not any(reduced)

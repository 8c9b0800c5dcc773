"""Statistics of every tensor of a float graph on the calibration samples."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from convert.errors import ConvertError
from convert.export.graph.opset import OPSET
from convert.quantize.calibrate import SAMPLED_VALUES, RangeMethod, calibrate
from convert.quantize.shapes import infer_shapes
from runtime.engine.session import Feeds

SIDE = 200
METHODS: tuple[RangeMethod, ...] = ("percentile", "entropy")


def model() -> onnx.ModelProto:
    """Return a graph of a sum y = 2 x, its SiLU z = y * s, and a convolution of that.

    Shape of x: (N, 2, SIDE, SIDE).
    """
    nodes = [
        helper.make_node("Add", ["x", "x"], ["y"], "double"),
        helper.make_node("Sigmoid", ["y"], ["s"], "sigmoid"),
        helper.make_node("Mul", ["y", "s"], ["z"], "product"),
        helper.make_node("Conv", ["z", "kernel"], ["answer"], "layer"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2, SIDE, SIDE])],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["N", 3, SIDE, SIDE])],
        [numpy_helper.from_array(np.ones((3, 2, 1, 1), np.float32), "kernel")],
    )
    opsets = [helper.make_opsetid("", OPSET)]
    return infer_shapes(helper.make_model(graph, opset_imports=opsets, ir_version=10))


def feeds() -> list[Feeds]:
    rng = np.random.default_rng(0)
    scales = np.array([1, 20], np.float32).reshape(1, 2, 1, 1)
    return [
        {"x": rng.standard_normal((1, 2, SIDE, SIDE), dtype=np.float32) * scales * (i + 1)}
        for i in range(3)
    ]


def test_minimum_maximum_and_channel_statistics_cover_all_values() -> None:
    stats = calibrate(model(), feeds())
    doubled = 2 * np.concatenate([feed["x"] for feed in feeds()])
    assert stats.min_max["y"] == (doubled.min(), doubled.max())
    assert set(stats.min_max) == {"x", "y", "s", "z", "answer"}
    silu = doubled / (1 + np.exp(-doubled.astype(np.float64)))
    assert set(stats.channel_means) == set(stats.channel_abs_max) == {"z"}
    np.testing.assert_allclose(stats.channel_means["z"], silu.mean(axis=(0, 2, 3)), rtol=1e-4)
    np.testing.assert_allclose(
        stats.channel_abs_max["z"], np.abs(silu).max(axis=(0, 2, 3)), rtol=1e-4
    )


def test_frames_of_one_sample_count_like_single_images() -> None:
    frames = np.concatenate([feed["x"] for feed in feeds()])
    clip, images = calibrate(model(), [{"x": frames}]), calibrate(model(), feeds())
    np.testing.assert_allclose(clip.channel_means["z"], images.channel_means["z"], rtol=1e-5)
    np.testing.assert_allclose(clip.channel_abs_max["z"], images.channel_abs_max["z"], rtol=1e-5)


def test_histograms_sample_values_and_ranges_stay_within_minimum_and_maximum() -> None:
    stats = calibrate(model(), feeds())
    values_per_sample = stats.histograms["y"].counts.sum() / 3
    assert SAMPLED_VALUES / 2 < values_per_sample <= SAMPLED_VALUES * 1.2
    low, high = stats.min_max["y"]
    for method in METHODS:
        narrow_low, narrow_high = stats.ranges(method)["y"]
        assert low <= narrow_low < -1
        assert 1 < narrow_high <= high
    assert stats.ranges("minmax") == stats.min_max


def test_no_inputs_and_a_graph_that_does_not_run_are_refused() -> None:
    with pytest.raises(ConvertError, match="calibration failed: no inputs"):
        calibrate(model(), [])
    with pytest.raises(ConvertError, match="calibration failed"):
        calibrate(model(), [{"x": np.zeros((1, 2, SIDE, SIDE), np.float64)}])

"""What is noted of each tensor on the way through a float graph."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from convert.errors import ConvertError
from convert.export.graph.opset import OPSET
from convert.quantize.calibrate import SAMPLED, observe
from convert.quantize.passes.fuse_silu import CLOSED, without_closed
from convert.quantize.search.layer_groups import with_shapes
from runtime.engine.session import Feeds

SIDE = 200


def graph(*, gate: bool = True, also_read: bool = False) -> onnx.ModelProto:
    """X (N, 2, SIDE, SIDE), doubled, and gated by its own sigmoid, or by that of x."""
    nodes = [
        helper.make_node("Add", ["x", "x"], ["y"], "double"),
        helper.make_node("Sigmoid", ["y" if gate else "x"], ["s"], "sigmoid"),
        helper.make_node("Mul", ["y", "s"], ["z"], "product"),
        helper.make_node("Conv", ["z", "kernel"], ["answer"], "layer"),
    ]
    if also_read:
        nodes.append(helper.make_node("Add", ["y", "z"], ["w"], "sum"))
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2, SIDE, SIDE])],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["N", 3, SIDE, SIDE])],
        [numpy_helper.from_array(np.ones((3, 2, 1, 1), np.float32), "kernel")],
    )
    opsets = [helper.make_opsetid("", OPSET)]
    return with_shapes(helper.make_model(made, opset_imports=opsets, ir_version=10))


def feeds() -> list[Feeds]:
    rng = np.random.default_rng(0)
    scales = np.array([1, 20], np.float32).reshape(1, 2, 1, 1)
    return [
        {"x": rng.standard_normal((1, 2, SIDE, SIDE), dtype=np.float32) * scales * (i + 1)}
        for i in range(3)
    ]


def test_extremes_and_means_are_of_all_values() -> None:
    observed = observe(graph(), feeds())
    doubled = 2 * np.concatenate([feed["x"] for feed in feeds()])
    assert observed.extremes["y"] == (doubled.min(), doubled.max())
    assert set(observed.extremes) == {"x", "y", "s", "z", "answer"}
    gated = doubled / (1 + np.exp(-doubled.astype(np.float64)))
    assert set(observed.means) == set(observed.peaks) == {"z"}
    np.testing.assert_allclose(observed.means["z"], gated.mean(axis=(0, 2, 3)), rtol=1e-4)
    np.testing.assert_allclose(observed.peaks["z"], np.abs(gated).max(axis=(0, 2, 3)), rtol=1e-4)


def test_a_sample_of_several_maps_has_the_channels_of_one() -> None:
    frames = np.concatenate([feed["x"] for feed in feeds()])
    together, apart = observe(graph(), [{"x": frames}]), observe(graph(), feeds())
    np.testing.assert_allclose(together.means["z"], apart.means["z"], rtol=1e-5)
    np.testing.assert_allclose(together.peaks["z"], apart.peaks["z"], rtol=1e-5)


def test_histograms_are_of_some_and_ranges_within_the_extremes() -> None:
    observed = observe(graph(), feeds())
    taken = observed.histograms["y"].counts.sum() / 3
    assert SAMPLED / 2 < taken <= SAMPLED * 1.2
    low, high = observed.extremes["y"]
    for kind in ("percentile", "entropy"):
        narrowed = observed.ranges(kind)["y"]
        assert low <= narrowed[0] < -1
        assert 1 < narrowed[1] <= high
    assert observed.ranges("minmax") == observed.extremes


def test_a_closed_gate_needs_no_steps() -> None:
    ranges = {"y": (-100.0, 50.0), "x": (-100.0, 50.0)}
    assert without_closed(graph(), ranges)["y"] == (CLOSED, 50.0)
    assert without_closed(graph(), {"y": (-3.0, 50.0)})["y"] == (-3.0, 50.0)
    for other in (graph(gate=False), graph(also_read=True)):
        assert without_closed(other, ranges) == ranges


def test_no_inputs_and_a_graph_that_does_not_run_are_refused() -> None:
    with pytest.raises(ConvertError, match="calibration failed: no inputs"):
        observe(graph(), [])
    with pytest.raises(ConvertError, match="calibration failed"):
        observe(graph(), [{"x": np.zeros((1, 2, SIDE, SIDE), np.float64)}])

"""Channels brought to like sizes: the same function, and one range that fits them."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from convert.quantize.calibrate import observe
from convert.quantize.passes.cross_layer_equalization import equalised, pairs
from convert.quantize.quantizer import Quantizer, Setting, all_op_types
from convert.quantize.search.layer_groups import with_shapes
from convert.verify.parity import run_rows
from tests.convert.support import nets
from tests.convert.support.parity import write_float_graph


def separable(activation: Any) -> Any:
    """A wide layer, a depthwise one, a linear one; channels of very different sizes between."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    net: Any = nn.Sequential(
        nn.Conv2d(3, 8, 1), activation, nn.Conv2d(8, 8, 3, groups=8), activation,
        nn.Conv2d(8, 6, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, nets.CLASSES),
    )  # fmt: skip
    sizes = torch.logspace(-2, 2, 8)
    with torch.no_grad():
        for layer in (net[0], net[2]):
            layer.weight *= sizes.reshape(-1, 1, 1, 1)
            layer.bias.abs_().mul_(sizes)  # every channel answers something
        net[2].weight /= sizes.reshape(-1, 1, 1, 1)
        net[4].weight /= sizes.reshape(1, -1, 1, 1)
        net[-1].weight *= 10
    return net


def graph(net: Any, path: Path) -> onnx.ModelProto:
    write_float_graph(nets.loaded(net), path / "float.onnx")
    return with_shapes(onnx.load(path / "float.onnx"))


def kinds(model: onnx.ModelProto) -> list[tuple[str, str]]:
    return [(pair.first.op_type, pair.second.op_type) for pair in pairs(model)]


@pytest.mark.parametrize("name", ["ReLU", "LeakyReLU", "PReLU", "Identity"])
def test_the_function_stays_and_channels_become_alike(name: str, tmp_path: Path) -> None:
    from torch import nn

    model = graph(separable(getattr(nn, name)()), tmp_path)
    assert kinds(model) == [("Conv", "Conv"), ("Conv", "Conv")]
    samples = nets.media().calibration
    observed = observe(model, samples)
    changed = equalised(model, observed.peaks)
    onnx.save(changed, tmp_path / "equal.onnx")
    before, after = (
        run_rows(tmp_path / f"{each}.onnx", samples)["probabilities"] for each in ("float", "equal")
    )
    np.testing.assert_allclose(after, before, atol=2e-5)
    between = [pair.second.input[0] for pair in pairs(model)]
    spread, even = (
        [each.peaks[t].max() / each.peaks[t].min() for t in between]
        for each in (observed, observe(changed, samples))
    )
    assert min(spread) > 1000
    assert even[0] == pytest.approx(1, rel=1e-3)  # a depthwise layer takes any
    assert even[1] < spread[1] / 30  # the next one's weights share a scale: half the way


@pytest.mark.parametrize("name", ["SiLU", "ReLU6", "Tanh"])
def test_what_bends_elsewhere_than_at_zero_has_no_pairs(name: str, tmp_path: Path) -> None:
    from torch import nn

    assert kinds(graph(separable(getattr(nn, name)()), tmp_path)) == []


def test_it_repairs_what_one_large_channel_spoils(tmp_path: Path) -> None:
    model = graph(nets.stretched(nets.convolutions(), layer=2), tmp_path)
    media = nets.media()
    quantizer = Quantizer(model, media.calibration)
    assert quantizer.equalises
    expected = run_rows(tmp_path / "float.onnx", media.validation)["probabilities"]
    distances = []
    for equal in (False, True):
        setting = Setting(all_op_types(), equalised=equal)
        onnx.save(quantizer.quantize(setting), tmp_path / "int8.onnx")
        found = run_rows(tmp_path / "int8.onnx", media.validation)["probabilities"]
        distances.append(float(np.abs(found - expected).sum(axis=1).mean() / 2))
    assert distances[0] > 0.02
    assert distances[1] < 0.013  # as of the net that was not stretched: 0.012


def test_silent_channels_and_shared_weights_are_left_alone(tmp_path: Path) -> None:
    from torch import nn

    net = separable(nn.ReLU())
    net[0].weight.data[3] = 0
    net[0].bias.data[3] = -1  # never above zero
    model = graph(net, tmp_path)
    samples = nets.media().calibration
    changed = equalised(model, observe(model, samples).peaks)
    weights = [onnx.numpy_helper.to_array(t) for t in changed.graph.initializer]
    assert all(np.isfinite(w).all() for w in weights if w.dtype.kind == "f")
    shared = onnx.ModelProto()
    shared.CopyFrom(model)
    extra = shared.graph.node.add()
    extra.CopyFrom(pairs(model)[0].second)  # depthwise, in both pairs
    extra.input[0], extra.output[0] = "elsewhere", "again"
    assert pairs(shared) == []

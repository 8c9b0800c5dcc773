"""Cross-layer equalization: the same function with channels of similar sizes."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from convert.quantize.calibrate import calibrate
from convert.quantize.passes.cross_layer_equalization import equalize_layers, layer_pairs
from convert.quantize.quantizer import QuantizationConfig, Quantizer, all_op_types
from convert.quantize.shapes import infer_shapes
from convert.verify.parity import run_samples
from tests.convert.support import nets
from tests.convert.support.parity import write_float_graph


def separable(activation: Any) -> Any:
    """Return 1 x 1, depthwise and 1 x 1 convolutions with channels of very different sizes."""
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
    return infer_shapes(onnx.load(path / "float.onnx"))


def pair_types(model: onnx.ModelProto) -> list[tuple[str, str]]:
    return [(pair.first.op_type, pair.second.op_type) for pair in layer_pairs(model)]


@pytest.mark.parametrize("name", ["ReLU", "LeakyReLU", "PReLU", "Identity"])
def test_the_function_stays_and_channels_become_similar(name: str, tmp_path: Path) -> None:
    from torch import nn

    model = graph(separable(getattr(nn, name)()), tmp_path)
    assert pair_types(model) == [("Conv", "Conv"), ("Conv", "Conv")]
    samples = nets.sample_sets().calibration
    stats = calibrate(model, samples)
    equalized = equalize_layers(model, stats.channel_abs_max)
    onnx.save(equalized, tmp_path / "equal.onnx")
    before, after = (
        run_samples(tmp_path / f"{name}.onnx", samples)["probabilities"]
        for name in ("float", "equal")
    )
    np.testing.assert_allclose(after, before, atol=2e-5)
    between = [pair.second.input[0] for pair in layer_pairs(model)]
    ratios_before, ratios_after = (
        [s.channel_abs_max[t].max() / s.channel_abs_max[t].min() for t in between]
        for s in (stats, calibrate(equalized, samples))
    )
    assert min(ratios_before) > 1000
    # a depthwise layer has a scale per channel; in the last one channels share scales
    assert ratios_after[0] == pytest.approx(1, rel=1e-3)
    assert ratios_after[1] < ratios_before[1] / 30


@pytest.mark.parametrize("name", ["SiLU", "ReLU6", "Tanh"])
def test_other_activations_separate_layers(name: str, tmp_path: Path) -> None:
    from torch import nn

    assert pair_types(graph(separable(getattr(nn, name)()), tmp_path)) == []


def test_equalization_repairs_a_net_with_one_large_channel(tmp_path: Path) -> None:
    model = graph(nets.stretched(nets.convolutions(), layer=2), tmp_path)
    samples = nets.sample_sets()
    quantizer = Quantizer(model, samples.calibration)
    assert quantizer.has_layer_pairs
    expected = run_samples(tmp_path / "float.onnx", samples.validation)["probabilities"]
    distances = []
    for equalize in (False, True):
        config = QuantizationConfig(all_op_types(), cross_layer_equalization=equalize)
        onnx.save(quantizer.quantize(config), tmp_path / "int8.onnx")
        quantized = run_samples(tmp_path / "int8.onnx", samples.validation)["probabilities"]
        distances.append(float(np.abs(quantized - expected).sum(axis=1).mean() / 2))
    assert distances[0] > 0.02
    assert distances[1] < 0.013  # the net without the large channel has 0.012


def test_channels_without_values_keep_finite_weights(tmp_path: Path) -> None:
    from torch import nn

    net = separable(nn.ReLU())
    net[0].weight.data[3] = 0
    net[0].bias.data[3] = -1  # never above zero
    model = graph(net, tmp_path)
    samples = nets.sample_sets().calibration
    equalized = equalize_layers(model, calibrate(model, samples).channel_abs_max)
    weights = [numpy_helper.to_array(tensor) for tensor in equalized.graph.initializer]
    assert all(np.isfinite(array).all() for array in weights if array.dtype.kind == "f")


def test_layers_that_share_weights_are_in_no_pair(tmp_path: Path) -> None:
    from torch import nn

    model = graph(separable(nn.ReLU()), tmp_path)
    copy = model.graph.node.add()
    copy.CopyFrom(layer_pairs(model)[0].second)  # depthwise, in both pairs
    copy.input[0], copy.output[0] = "elsewhere", "copy"
    assert layer_pairs(model) == []


def test_grouped_convolutions_are_in_no_pair(tmp_path: Path) -> None:
    """Two channels of a group share weights, also where each group has one output."""
    from torch import nn

    net = nn.Sequential(
        nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 4, 1, groups=4),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, nets.CLASSES),
    )  # fmt: skip
    assert layer_pairs(graph(net, tmp_path)) == []

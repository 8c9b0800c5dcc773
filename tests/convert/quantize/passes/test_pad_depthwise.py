"""Padding of depthwise convolutions: answers stay the same, and all that shares them grows."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from convert.export.graph.surgery import initializers
from convert.metrics import max_abs_difference
from convert.quantize.passes.pad_depthwise import pad_depthwise
from convert.quantize.quantizer import QuantizationConfig, Quantizer, all_op_types
from convert.quantize.shapes import tensor_sizes
from convert.verify.parity import run_samples
from tests.convert.quantize.passes.test_pad_channels import IMAGES, TOLERANCE, masks
from tests.convert.support.parity import rows, write_float_graph


def block(channels: int, out: int, *, kind: str = "plain") -> Any:
    """Return a depthwise convolution, a squeeze of its channels and a convolution behind it."""
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
            self.squeeze = nn.Conv2d(channels, 4, 1)
            self.excite = nn.Conv2d(4, 1 if kind == "one weight" else channels, 1)
            self.project = nn.Conv2d(channels, out, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = nn.functional.silu(self.depthwise(x))
            if kind == "constant":
                y = y * torch.arange(1.0, channels + 1).reshape(1, -1, 1, 1)
            if kind == "mean":
                y = y - y.mean(dim=1, keepdim=True)
            pooled = nn.functional.adaptive_avg_pool2d(y, 1)
            weights = torch.sigmoid(self.excite(torch.relu(self.squeeze(pooled))))
            y = self.project(y * weights)
            return y + x if out == channels else y

    return Block()


def net_of(*channels: int, kind: str = "plain") -> Any:
    """Return a network whose blocks have so many channels, from an image to a mask."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    pairs = zip(channels, (*channels[1:], channels[-1]), strict=True)
    blocks = [block(a, b, kind=kind) for a, b in pairs]
    first, last = nn.Conv2d(3, channels[0], 3, padding=1), nn.Conv2d(channels[-1], 1, 1)
    layers = [first, nn.SiLU(), *blocks, last]
    for parameter in (p for layer in layers for p in layer.parameters()):
        parameter.data = 2 * parameter.data  # masks with some contrast: they are stretched
    return masks(*layers, nn.Sigmoid())


def padded(loaded: Any, path: Path) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """Return the float graph and its padded form, after a check that their answers are equal."""
    model = write_float_graph(loaded, path)
    before = model.SerializeToString()
    with_padding = pad_depthwise(model, tensor_sizes(model, rows(IMAGES)[0]))
    assert model.SerializeToString() == before
    onnx.save(with_padding, path.with_name("padded.onnx"))
    expected = run_samples(path, rows(IMAGES))
    answer = run_samples(path.with_name("padded.onnx"), rows(IMAGES))
    assert max_abs_difference(expected, answer) < TOLERANCE
    return model, with_padding


def widths(model: onnx.ModelProto) -> list[int]:
    """Return the channels of the depthwise convolutions, in graph order."""
    weights = initializers(model)
    nodes = [node for node in model.graph.node if node.op_type == "Conv"]
    return [len(weights[n.input[1]]) for n in nodes if weights[n.input[1]].shape[1:] == (1, 3, 3)]


def test_channels_grow_from_the_convolutions_before_to_those_behind(tmp_path: Path) -> None:
    _, model = padded(net_of(20), tmp_path / "net.onnx")
    assert widths(model) == [32]
    # the first convolution, the depthwise one, the squeeze and what it answers, the projection,
    # which is added to the block's input, and the last one
    shapes = {w.shape[:2] for w in initializers(model).values() if w.ndim == 4}
    assert shapes == {(32, 3), (32, 1), (4, 32), (32, 4), (32, 32), (1, 32)}


def test_each_number_of_channels_grows_by_itself(tmp_path: Path) -> None:
    _, model = padded(net_of(40, 24, 32, 20), tmp_path / "net.onnx")
    assert widths(model) == [48, 32, 32, 32]


@pytest.mark.parametrize("kind", ["one weight", "constant", "mean"])
def test_what_needs_the_present_number_of_channels_keeps_it(tmp_path: Path, kind: str) -> None:
    model, same = padded(net_of(20, kind=kind), tmp_path / "net.onnx")
    assert same == model


def test_sixteens_and_small_maps_stay(tmp_path: Path) -> None:
    model, same = padded(net_of(16, 32), tmp_path / "net.onnx")
    assert same == model
    model = write_float_graph(net_of(20), tmp_path / "net.onnx")
    small = dict.fromkeys(tensor_sizes(model, rows(IMAGES)[0]), 20 * 100)
    assert pad_depthwise(model, small) == model


def test_a_padded_net_is_quantized_like_any_other(tmp_path: Path) -> None:
    model = write_float_graph(net_of(20, 24), tmp_path / "net.onnx")
    quantizer = Quantizer(model, rows(IMAGES))
    config = QuantizationConfig(
        all_op_types(), bias_correction=True, cross_layer_equalization=True, reduce_range=True
    )
    for settings in (QuantizationConfig(all_op_types()), config):
        onnx.save(quantizer.quantize(settings), tmp_path / "int8.onnx")
        expected = run_samples(tmp_path / "net.onnx", rows(IMAGES))
        answer = run_samples(tmp_path / "int8.onnx", rows(IMAGES))
        assert np.abs(expected["alpha"] - answer["alpha"]).mean() < 0.1

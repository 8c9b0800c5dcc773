"""The first convolution reads the image: the same integers, and only where they are the same."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from convert.export.frameworks.torch_module import TorchNetwork
from convert.export.graph.surgery import initializers
from convert.export.numerics import ImageInput
from convert.quantize import quantizer as quantizer_module
from convert.quantize.passes.fold_pixels import fold_pixels
from convert.quantize.quantizer import QuantizationConfig, Quantizer, all_op_types
from convert.quantize.saturation import integer_layers
from convert.recipe import Loaded
from convert.verify.parity import run_samples
from runtime.engine.session import Session, SessionOptions
from tests.convert.support import nets
from tests.convert.support.parity import rows, write_float_graph

SIDE = nets.SIDE
IMAGES = np.random.default_rng(3).integers(0, 256, (2, SIDE, SIDE, 3), np.uint8)
UNIT = ImageInput(SIDE, SIDE, 3, (0.0,) * 3, (1.0,) * 3)


def classifier(first: Any, image: ImageInput = UNIT, *, activation: Any = None) -> Loaded:
    """Return a classifier with this first convolution; another one and a mean follow."""
    from torch import nn

    net = nn.Sequential(
        first,
        activation or nn.SiLU(),
        nn.Conv2d(first.out_channels, 16, 3),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, nets.CLASSES),
    )
    shape = (image.channels, image.height, image.width)
    network = TorchNetwork(net, input_shape=shape)
    return replace(nets.loaded(nets.convolutions(layers=1)), network=network, input=image)


def convolution(kernel: int, stride: int, padding: int, *, saturates: bool = False) -> Any:
    """Return a convolution of 16 channels.

    Unless it saturates, one weight of each channel is twice as large as any other and has no
    neighbours: no pair of products saturates, on whatever CPU, folded or not.
    """
    import torch
    from torch import nn

    layer = nn.Conv2d(3, 16, kernel, stride, padding)
    values = np.random.default_rng(kernel).standard_normal(tuple(layer.weight.shape)) / kernel
    if not saturates:
        values[:, :, 0, 0] = 0
        values[:, 1, 0, 0] = 2.05 * np.abs(values).max(axis=(1, 2, 3))
    layer.weight.data = torch.from_numpy(values.astype(np.float32))
    return layer


def quantized(
    loaded: Loaded, folder: Path, monkeypatch: pytest.MonkeyPatch, **config: Any
) -> onnx.ModelProto:
    """Return the quantized graph without the pass."""
    monkeypatch.setattr(quantizer_module, "fold_pixels", lambda model: model)
    model = write_float_graph(loaded, folder / "float.onnx")
    config = {"op_types": all_op_types(), **config}
    return Quantizer(model, samples(loaded)).quantize(QuantizationConfig(**config))


def samples(loaded: Loaded) -> Any:
    height, width, channels = loaded.input.tensors[0].shape[1:]
    shape = (2, int(height), int(width), int(channels))
    return rows(np.random.default_rng(3).integers(0, 256, shape, np.uint8))


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(3, 2, 1), (2, 2, 0), (6, 2, 2), (7, 2, 3), (4, 4, 0)]
)
def test_the_folded_convolution_answers_as_before(
    kernel: int, stride: int, padding: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = classifier(convolution(kernel, stride, padding))
    before = quantized(loaded, tmp_path, monkeypatch)
    onnx.save(before, tmp_path / "before.onnx")
    after = fold_pixels(before)
    assert after is not before
    onnx.save(after, tmp_path / "after.onnx")
    a, b = (run_samples(tmp_path / name, samples(loaded)) for name in ("before.onnx", "after.onnx"))
    np.testing.assert_array_equal(a["probabilities"], b["probabilities"])
    assert np.ptp(a["probabilities"]) > 0.01  # else any answer would do

    Session(tmp_path / "after.onnx", SessionOptions(optimized_path=tmp_path / "optimized.onnx"))
    optimized = onnx.load(tmp_path / "optimized.onnx")
    types = [node.op_type for node in optimized.graph.node]
    # no pixel becomes float, and no byte moves
    convolutions = ["Reshape", "QLinearConv", "Reshape", "DequantizeLinear", "QuickGelu"]
    assert types[:7] == [*convolutions, "QuantizeLinear", "QLinearConv"]
    first = next(node for node in optimized.graph.node if node.op_type == "QLinearConv")
    weights = initializers(optimized)[first.input[3]]
    assert weights.shape[:2] == (16 * 4 // stride, 12)


def test_a_batch_and_an_activation_that_clips_are_folded_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch import nn

    loaded = classifier(convolution(3, 2, 1), activation=nn.ReLU())
    before = quantized(loaded, tmp_path, monkeypatch, reduce_range=True)
    onnx.save(before, tmp_path / "before.onnx")
    after = fold_pixels(before)
    assert after is not before
    onnx.save(after, tmp_path / "after.onnx")
    a, b = (
        Session(tmp_path / name).run({"image": IMAGES}) for name in ("before.onnx", "after.onnx")
    )
    np.testing.assert_array_equal(a["probabilities"], b["probabilities"])


def test_folding_adds_no_saturation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = classifier(convolution(3, 2, 1, saturates=True))
    reduced = quantized(loaded, tmp_path, monkeypatch, reduce_range=True)
    assert not [layer.name for layer in integer_layers(reduced) if layer.may_saturate]
    assert fold_pixels(reduced) is reduced
    with_8_bits = quantized(loaded, tmp_path, monkeypatch)
    assert fold_pixels(with_8_bits) is not with_8_bits  # it saturated before


@pytest.mark.parametrize(
    ("first", "image"),
    [
        ((3, 2, 1), ImageInput(SIDE, SIDE, 3, (0.5,) * 3, (1.0,) * 3)),  # a zero is no black
        ((3, 2, 1), ImageInput(SIDE, SIDE, 3, (0.0,) * 3, (1.0, 1.0, 0.5))),  # a factor each
        ((3, 2, 1), ImageInput(SIDE, SIDE, 3, (0.0,) * 3, (0.5,) * 3, channel_order="BGR")),
        ((3, 2, 1), ImageInput(SIDE, SIDE, 3, (0.0,) * 3, (1.0,) * 3, divisor="image_maximum")),
        ((3, 2, 1), ImageInput(SIDE, SIDE + 2, 3, (0.0,) * 3, (1.0,) * 3)),  # no whole folds
        ((3, 1, 1), UNIT),
        ((2, 2, 1), UNIT),  # its last column begins behind the image
    ],
)
def test_other_images_and_convolutions_stay(
    first: tuple[int, int, int],
    image: ImageInput,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = quantized(classifier(convolution(*first), image), tmp_path, monkeypatch)
    assert fold_pixels(before) is before


def test_a_float_convolution_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, first = classifier(convolution(3, 2, 1)), "net/000_Conv"
    in_float = quantized(loaded, tmp_path, monkeypatch, float_nodes=frozenset({first}))
    assert any(node.name == first for node in in_float.graph.node)
    assert fold_pixels(in_float) is in_float


@pytest.mark.parametrize(
    ("name", "value"), [("x_scale", np.float32(0.9 / 255)), ("x_zero_point", np.uint8(1))]
)
def test_steps_that_are_no_levels_stay(
    name: str, value: np.generic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = quantized(classifier(convolution(3, 2, 1)), tmp_path, monkeypatch)
    (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == name)
    tensor.CopyFrom(onnx.numpy_helper.from_array(np.asarray(value), name))
    assert fold_pixels(model) is model


def test_dark_photos_give_pixels_the_range_of_all_levels(tmp_path: Path) -> None:
    model = write_float_graph(classifier(convolution(3, 2, 1)), tmp_path / "float.onnx")
    quantizer = Quantizer(model, rows(IMAGES // 4))
    onnx.save(quantizer.quantize(QuantizationConfig(all_op_types())), tmp_path / "int8.onnx")
    assert "Cast" not in [node.op_type for node in onnx.load(tmp_path / "int8.onnx").graph.node]

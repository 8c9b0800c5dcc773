"""Channel padding: answers stay the same, and only convolutions that gain by it are padded."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from convert.export.graph.surgery import initializers
from convert.export.numerics import PREFIX, ImageInput, StretchedAlpha
from convert.metrics import max_abs_difference
from convert.quantize.calibrate import calibrate
from convert.quantize.passes.cross_layer_equalization import equalize_layers, layer_pairs
from convert.quantize.passes.pad_channels import pad_channels
from convert.quantize.quantizer import QuantizationConfig, Quantizer, all_op_types
from convert.quantize.shapes import infer_shapes, tensor_sizes
from convert.recipe import Loaded
from convert.verify.parity import run_samples
from runtime.engine.session import Session, SessionOptions
from tests.convert.support import nets
from tests.convert.support.parity import rows, write_float_graph

SIDE = nets.SIDE
# sums of the same products in another order
TOLERANCE = 1e-6
IMAGES = np.random.default_rng(2).integers(0, 256, (2, SIDE, SIDE, 3), np.uint8)


def masks(*modules: Any) -> Loaded:
    """Return a network from three channels to a mask."""
    from dataclasses import replace

    from torch import nn

    from convert.export.frameworks.torch_module import TorchNetwork

    network = TorchNetwork(nn.Sequential(*modules), input_shape=(3, SIDE, SIDE))
    return replace(nets.loaded(nets.convolutions(layers=1)), network=network, head=StretchedAlpha())


def convolution(channels: int, out: int, **options: Any) -> Any:
    import torch
    from torch import nn

    layer = nn.Conv2d(channels, out, 3, padding=1, **options)
    rng = np.random.default_rng(channels + out)
    for parameter in layer.parameters():
        values = rng.standard_normal(tuple(parameter.shape)) / 4
        parameter.data = torch.from_numpy(values.astype(np.float32))
    return layer


def padded(loaded: Loaded, path: Path) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """Return the float graph and its padded form, after a check that their answers are equal."""
    model = write_float_graph(loaded, path)
    with_padding = pad_channels(model, tensor_sizes(model, rows(IMAGES)[0]))
    onnx.save(with_padding, path.with_name("padded.onnx"))
    expected = run_samples(path, rows(IMAGES))
    outputs = run_samples(path.with_name("padded.onnx"), rows(IMAGES))
    assert max_abs_difference(expected, outputs) < TOLERANCE
    return model, with_padding


def kernel_shapes(model: onnx.ModelProto) -> list[tuple[int, ...]]:
    weights = initializers(model)
    return [weights[node.input[1]].shape for node in model.graph.node if node.op_type == "Conv"]


def test_images_get_a_fourth_channel_and_maps_at_least_sixteen(tmp_path: Path) -> None:
    from torch import nn

    loaded = masks(convolution(3, 20), nn.ReLU(), convolution(20, 1), nn.Sigmoid())
    before, after = padded(loaded, tmp_path / "float.onnx")
    assert kernel_shapes(before) == [(20, 3, 3, 3), (1, 20, 3, 3)]
    assert kernel_shapes(after) == [(24, 4, 3, 3), (16, 20, 3, 3)]
    order = [node.op_type for node in after.graph.node if not node.name.startswith(PREFIX)]
    # onnxruntime fuses Relu into the integer convolution before it: the Slice must follow both
    assert order == ["Conv", "Relu", "Slice", "Conv", "Slice", "Sigmoid"]


@pytest.mark.parametrize(
    "image",
    [
        ImageInput(SIDE, SIDE, 3, (0.0,) * 3, (1.0,) * 3),  # no shift
        ImageInput(SIDE, SIDE, 3, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), divisor="image_maximum"),
        ImageInput(SIDE, SIDE, 3, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)),
    ],
)
def test_images_of_every_scaling_get_a_fourth_channel(image: ImageInput, tmp_path: Path) -> None:
    from dataclasses import replace

    loaded = replace(masks(convolution(3, 16), convolution(16, 1)), input=image)
    _, after = padded(loaded, tmp_path / "float.onnx")
    assert kernel_shapes(after)[0] == (16, 4, 3, 3)


def test_images_in_bgr_or_without_scaling_keep_three_channels(tmp_path: Path) -> None:
    from dataclasses import replace

    for number, image in enumerate(
        (
            ImageInput(SIDE, SIDE, 3, (0.4,) * 3, (0.2,) * 3, channel_order="BGR"),
            ImageInput(SIDE, SIDE, 3, (0.0,) * 3, (1.0,) * 3, divisor="1"),
        )
    ):
        loaded = replace(masks(convolution(3, 16), convolution(16, 1)), input=image)
        _, after = padded(loaded, tmp_path / f"float{number}.onnx")
        assert kernel_shapes(after)[0] == (16, 3, 3, 3)


def test_small_maps_groups_and_shared_weights_are_not_padded(tmp_path: Path) -> None:
    from torch import nn

    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = convolution(12, 12)

        def forward(self, x: Any) -> Any:
            return self.layer(self.layer(x))

    grouped = convolution(24, 12, groups=3)
    small = nn.Sequential(nn.MaxPool2d(2), convolution(12, 4), nn.Upsample(scale_factor=2))
    loaded = masks(convolution(3, 24), grouped, Shared(), small, convolution(4, 1))
    before, after = padded(loaded, tmp_path / "float.onnx")
    assert kernel_shapes(after)[1:-1] == kernel_shapes(before)[1:-1]
    assert kernel_shapes(after)[-1] == (16, 4, 3, 3)


def test_a_map_that_is_an_output_keeps_its_channels(tmp_path: Path) -> None:
    model = write_float_graph(masks(convolution(3, 1)), tmp_path / "float.onnx")
    conv = next(node for node in model.graph.node if node.op_type == "Conv")
    value = onnx.helper.make_tensor_value_info(conv.output[0], onnx.TensorProto.FLOAT, None)
    model.graph.output.append(value)
    with_padding = pad_channels(model, tensor_sizes(model, rows(IMAGES)[0]))
    onnx.save(with_padding, tmp_path / "padded.onnx")
    outputs = Session(tmp_path / "padded.onnx").run(rows(IMAGES)[0])
    assert outputs[conv.output[0]].shape == (1, 1, SIDE, SIDE)


@pytest.mark.parametrize("reduce_range", [False, True])
def test_quantized_convolutions_are_padded_and_stay_close(
    reduce_range: bool, tmp_path: Path
) -> None:
    from torch import nn

    loaded = masks(convolution(3, 20), nn.ReLU(), convolution(20, 1), nn.Sigmoid())
    model = write_float_graph(loaded, tmp_path / "float.onnx")
    quantizer = Quantizer(model, rows(IMAGES))
    path, optimized = tmp_path / "int8.onnx", tmp_path / "optimized.onnx"
    onnx.save(
        quantizer.quantize(QuantizationConfig(all_op_types(), reduce_range=reduce_range)), path
    )
    Session(path, SessionOptions(optimized_path=optimized))
    layers = [node for node in onnx.load(optimized).graph.node if node.op_type == "QLinearConv"]
    tensors = {t.name: numpy_helper.to_array(t) for t in onnx.load(optimized).graph.initializer}
    assert [tensors[node.input[3]].shape[:2] for node in layers] == [(24, 4), (16, 20)]
    expected, quantized = (run_samples(p, rows(IMAGES)) for p in (tmp_path / "float.onnx", path))
    # two layers in 8 bits
    assert np.abs(expected["alpha"] - quantized["alpha"]).mean() < 0.02


def scale_of(model: onnx.ModelProto, name: str) -> float:
    """Return the scale that a tensor is quantized with."""
    node = next(node for node in model.graph.node if name in node.input)
    assert node.op_type == "QuantizeLinear"
    return float(initializers(model)[node.input[1]])


@pytest.mark.parametrize("ranges", ["minmax", "percentile"])
def test_a_padded_tensor_has_the_range_of_its_own_channels(
    ranges: Literal["minmax", "percentile"], tmp_path: Path
) -> None:
    """Zeros would hide the tails of a percentile, and SiLU after the Slice has its floor too."""
    from torch import nn

    wide = convolution(3, 12)
    wide.weight.data *= 40  # far below the floor of SiLU
    loaded = masks(wide, nn.SiLU(), convolution(12, 16), convolution(16, 1))
    quantizer = Quantizer(write_float_graph(loaded, tmp_path / "float.onnx"), rows(IMAGES))
    quantized = quantizer.quantize(QuantizationConfig(("Conv",), ranges=ranges))
    name = next(node.output[0] for node in quantized.graph.node if node.op_type == "Conv")
    assert name.endswith("/filled")
    plain = infer_shapes(onnx.load(tmp_path / "float.onnx"))
    conv = next(node for node in plain.graph.node if node.op_type == "Conv")
    low, high = calibrate(plain, rows(IMAGES)).ranges(ranges)[conv.output[0]]
    assert low < -20
    assert scale_of(quantized, name) == pytest.approx((high + 8) / 255, rel=1e-3)


def test_padded_layers_are_equalized_like_others(tmp_path: Path) -> None:
    from torch import nn

    loaded = masks(
        convolution(3, 12), nn.ReLU(), convolution(12, 16), nn.Tanh(), convolution(16, 1)
    )
    model, with_padding = padded(loaded, tmp_path / "float.onnx")
    assert len(layer_pairs(model)) == len(layer_pairs(with_padding)) == 1
    stats = calibrate(infer_shapes(with_padding), rows(IMAGES))
    onnx.save(equalize_layers(with_padding, stats.channel_abs_max), tmp_path / "equal.onnx")
    expected, outputs = (
        run_samples(tmp_path / name, rows(IMAGES)) for name in ("float.onnx", "equal.onnx")
    )
    assert max_abs_difference(expected, outputs) < 1e-5  # the scales are no powers of two


def test_layers_that_read_other_numbers_of_channels_are_not_padded(tmp_path: Path) -> None:
    loaded = masks(convolution(3, 16), convolution(16, 24), convolution(24, 6), convolution(6, 1))
    _, after = padded(loaded, tmp_path / "float.onnx")
    # onnxruntime reads four channels at a time: six take the slow path whatever it writes
    assert kernel_shapes(after)[2:] == [(16, 24, 3, 3), (1, 6, 3, 3)]

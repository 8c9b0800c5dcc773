"""Channels of zeros for the integer kernels: the answers stay, and only where they are worth it."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from convert.export.graph.surgery import initializers
from convert.export.numerics import PREFIX, ImageInput, StretchedAlpha
from convert.metrics import max_abs_difference
from convert.quantize.calibrate import observe
from convert.quantize.passes.cross_layer_equalization import equalised, pairs
from convert.quantize.passes.pad_channels import with_fast_channels
from convert.quantize.quantizer import Quantizer, Setting, all_op_types
from convert.quantize.search.layer_groups import sizes, with_shapes
from convert.recipe import Loaded
from convert.verify.parity import run_rows
from runtime.engine.session import Session, SessionOptions
from tests.convert.support import nets
from tests.convert.support.parity import rows, write_float_graph

SIDE = nets.SIDE
# sums of the same products in another order
TOLERANCE = 1e-6
IMAGES = np.random.default_rng(2).integers(0, 256, (2, SIDE, SIDE, 3), np.uint8)


def masks(*modules: Any) -> Loaded:
    """A network from three channels to a map."""
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


def widened(loaded: Loaded, path: Path) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """The float graph, and the one with other channels; both answer alike."""
    model = write_float_graph(loaded, path)
    changed = with_fast_channels(model, sizes(model, rows(IMAGES)[0]))
    onnx.save(changed, path.with_name("changed.onnx"))
    expected = run_rows(path, rows(IMAGES))
    found = run_rows(path.with_name("changed.onnx"), rows(IMAGES))
    assert max_abs_difference(expected, found) < TOLERANCE
    return model, changed


def kernels(model: onnx.ModelProto) -> list[tuple[int, ...]]:
    weights = initializers(model)
    return [weights[node.input[1]].shape for node in model.graph.node if node.op_type == "Conv"]


def test_image_gets_a_fourth_channel_and_maps_sixteen(tmp_path: Path) -> None:
    from torch import nn

    loaded = masks(convolution(3, 20), nn.ReLU(), convolution(20, 1), nn.Sigmoid())
    before, after = widened(loaded, tmp_path / "float.onnx")
    assert kernels(before) == [(20, 3, 3, 3), (1, 20, 3, 3)]
    assert kernels(after) == [(24, 4, 3, 3), (16, 20, 3, 3)]
    order = [node.op_type for node in after.graph.node if not node.name.startswith(PREFIX)]
    # Relu is part of the convolution, once quantized, and nothing may part them
    assert order == ["Conv", "Relu", "Slice", "Conv", "Slice", "Sigmoid"]


@pytest.mark.parametrize(
    "image",
    [
        ImageInput(SIDE, SIDE, 3, (0.0,) * 3, (1.0,) * 3),  # no shift
        ImageInput(SIDE, SIDE, 3, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), divisor="image_maximum"),
        ImageInput(SIDE, SIDE, 3, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)),
    ],
)
def test_whatever_the_scaling(image: ImageInput, tmp_path: Path) -> None:
    from dataclasses import replace

    loaded = replace(masks(convolution(3, 16), convolution(16, 1)), input=image)
    _, after = widened(loaded, tmp_path / "float.onnx")
    assert kernels(after)[0] == (16, 4, 3, 3)


def test_planes_in_another_order_or_unscaled_are_left(tmp_path: Path) -> None:
    from dataclasses import replace

    for number, image in enumerate(
        (
            ImageInput(SIDE, SIDE, 3, (0.4,) * 3, (0.2,) * 3, channel_order="BGR"),
            ImageInput(SIDE, SIDE, 3, (0.0,) * 3, (1.0,) * 3, divisor="1"),
        )
    ):
        loaded = replace(masks(convolution(3, 16), convolution(16, 1)), input=image)
        _, after = widened(loaded, tmp_path / f"float{number}.onnx")
        assert kernels(after)[0] == (16, 3, 3, 3)


def test_small_maps_groups_and_shared_weights_are_left(tmp_path: Path) -> None:
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
    before, after = widened(loaded, tmp_path / "float.onnx")
    assert kernels(after)[1:-1] == kernels(before)[1:-1]
    assert kernels(after)[-1] == (16, 4, 3, 3)


def test_a_map_that_is_an_answer_keeps_its_channels(tmp_path: Path) -> None:
    model = write_float_graph(masks(convolution(3, 1)), tmp_path / "float.onnx")
    conv = next(node for node in model.graph.node if node.op_type == "Conv")
    value = onnx.helper.make_tensor_value_info(conv.output[0], onnx.TensorProto.FLOAT, None)
    model.graph.output.append(value)
    changed = with_fast_channels(model, sizes(model, rows(IMAGES)[0]))
    onnx.save(changed, tmp_path / "changed.onnx")
    found = Session(tmp_path / "changed.onnx").run(rows(IMAGES)[0])
    assert found[conv.output[0]].shape == (1, 1, SIDE, SIDE)


@pytest.mark.parametrize("reduce_range", [False, True])
def test_quantized_channels_of_zeros_change_nothing(reduce_range: bool, tmp_path: Path) -> None:
    from torch import nn

    loaded = masks(convolution(3, 20), nn.ReLU(), convolution(20, 1), nn.Sigmoid())
    model = write_float_graph(loaded, tmp_path / "float.onnx")
    quantizer = Quantizer(model, rows(IMAGES))
    path, optimized = tmp_path / "int8.onnx", tmp_path / "optimized.onnx"
    onnx.save(quantizer.quantize(Setting(all_op_types(), reduce_range=reduce_range)), path)
    Session(path, SessionOptions(optimized_path=optimized))
    layers = [node for node in onnx.load(optimized).graph.node if node.op_type == "QLinearConv"]
    tensors = {t.name: numpy_helper.to_array(t) for t in onnx.load(optimized).graph.initializer}
    assert [tensors[node.input[3]].shape[:2] for node in layers] == [(24, 4), (16, 20)]
    expected, found = (run_rows(p, rows(IMAGES)) for p in (tmp_path / "float.onnx", path))
    # two layers of 8 bits
    assert np.abs(expected["alpha"] - found["alpha"]).mean() < 0.02


def scale_of(model: onnx.ModelProto, name: str) -> float:
    """Of the steps that a tensor is quantized by."""
    node = next(node for node in model.graph.node if name in node.input)
    assert node.op_type == "QuantizeLinear"
    return float(initializers(model)[node.input[1]])


@pytest.mark.parametrize("ranges", ["minmax", "percentile"])
def test_a_filled_tensor_has_the_range_of_its_own_channels(
    ranges: Literal["minmax", "percentile"], tmp_path: Path
) -> None:
    """Zeros would hide the tails, and a gate behind them is a gate all the same."""
    from torch import nn

    wide = convolution(3, 12)
    wide.weight.data *= 40  # far below a closed gate
    loaded = masks(wide, nn.SiLU(), convolution(12, 16), convolution(16, 1))
    quantizer = Quantizer(write_float_graph(loaded, tmp_path / "float.onnx"), rows(IMAGES))
    quantized = quantizer.quantize(Setting(("Conv",), ranges=ranges))
    name = next(node.output[0] for node in quantized.graph.node if node.op_type == "Conv")
    assert name.endswith("/filled")
    plain = with_shapes(onnx.load(tmp_path / "float.onnx"))
    conv = next(node for node in plain.graph.node if node.op_type == "Conv")
    low, high = observe(plain, rows(IMAGES)).ranges(ranges)[conv.output[0]]
    assert low < -20
    assert scale_of(quantized, name) == pytest.approx((high + 8) / 255, rel=1e-3)


def test_filled_layers_are_equalised_like_others(tmp_path: Path) -> None:
    from torch import nn

    loaded = masks(
        convolution(3, 12), nn.ReLU(), convolution(12, 16), nn.Tanh(), convolution(16, 1)
    )
    model, changed = widened(loaded, tmp_path / "float.onnx")
    assert len(pairs(model)) == len(pairs(changed)) == 1
    observed = observe(with_shapes(changed), rows(IMAGES))
    onnx.save(equalised(changed, observed.peaks), tmp_path / "equal.onnx")
    expected, found = (run_rows(tmp_path / n, rows(IMAGES)) for n in ("float.onnx", "equal.onnx"))
    assert max_abs_difference(expected, found) < 1e-5  # factors that are no powers of two


def test_layers_that_read_other_numbers_are_left(tmp_path: Path) -> None:
    loaded = masks(convolution(3, 16), convolution(16, 24), convolution(24, 6), convolution(6, 1))
    _, after = widened(loaded, tmp_path / "float.onnx")
    # four channels are read at a time: six go the slow way whatever is written
    assert kernels(after)[2:] == [(16, 24, 3, 3), (1, 6, 3, 3)]

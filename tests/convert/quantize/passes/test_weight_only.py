"""Weights of float layers in 8 bits: float again once loaded, and corrected on average."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper

from convert.export.graph.surgery import initializers
from convert.export.numerics import PREFIX
from convert.quantize.calibrate import observe
from convert.quantize.passes.weight_only import store_rounded
from convert.quantize.quantizer import Quantizer, Setting, all_op_types
from convert.quantize.search.layer_groups import with_shapes
from convert.verify.parity import run_rows
from runtime.engine.session import Session, SessionOptions
from tests.convert.support import nets
from tests.convert.support.parity import write_float_graph


@pytest.fixture
def model(tmp_path: Path) -> onnx.ModelProto:
    return write_float_graph(nets.loaded(nets.convolutions(layers=3)), tmp_path / "float.onnx")


def layers(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type in ("Conv", "Gemm")]


def test_rounded_per_channel_by_hand(model: onnx.ModelProto) -> None:
    name, kernel = layers(model)[1].name, layers(model)[1].input[1]
    weight = initializers(model)[kernel]
    others = [initializers(model)[node.input[1]] for node in layers(model)[::2]]
    store_rounded(model, {name}, {})
    stored = initializers(model)
    integers, scale = stored[f"{kernel}/integers"], stored[f"{kernel}/scale"]
    assert integers.dtype == np.int8
    assert kernel not in stored  # else it would be kept twice
    assert (np.abs(integers).reshape(32, -1).max(axis=1) == 127).all()
    # half a step of each channel
    assert (np.abs(integers * scale - weight) <= scale * 0.5001).all()
    for each, layer in zip(others, layers(model)[::2], strict=True):
        np.testing.assert_array_equal(stored[layer.input[1]], each)


def test_onnxruntime_makes_them_float_once(model: onnx.ModelProto, tmp_path: Path) -> None:
    names = {node.name for node in layers(model)}
    store_rounded(model, names, {})
    onnx.save(model, tmp_path / "stored.onnx")
    Session(tmp_path / "stored.onnx", SessionOptions(optimized_path=tmp_path / "optimized.onnx"))
    loaded = onnx.load(tmp_path / "optimized.onnx")
    made = [node.name for node in loaded.graph.node if node.name.endswith(("/cast", "/product"))]
    assert [name for name in made if not name.startswith(PREFIX)] == []
    sizes = [(tmp_path / f"{name}.onnx").stat().st_size for name in ("float", "stored")]
    assert sizes[1] < 0.35 * sizes[0]


def test_weights_that_another_reads_are_left(model: onnx.ModelProto) -> None:
    first, second = layers(model)[1:3]
    second.input[1] = first.input[1]
    before = initializers(model)[first.input[1]]
    store_rounded(model, {first.name, second.name}, {})
    np.testing.assert_array_equal(initializers(model)[first.input[1]], before)


def test_biases_take_the_mean_error_away(model: onnx.ModelProto, tmp_path: Path) -> None:
    samples = nets.media().calibration
    layer = layers(model)[1]
    read = observe(with_shapes(model), samples).means[layer.input[0]]
    value = onnx.helper.make_tensor_value_info(layer.output[0], onnx.TensorProto.FLOAT, None)
    model.graph.output.append(value)

    def answer(means: Mapping[str, NDArray[Any]], *names: str) -> NDArray[Any]:
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        onnx.save(store_rounded(copy, names, means), tmp_path / "probed.onnx")
        channels: NDArray[Any] = run_rows(tmp_path / "probed.onnx", samples)[layer.output[0]]
        return channels.mean(axis=(0, 2, 3))

    expected = answer({})
    plain = np.abs(answer({}, layer.name) - expected).mean()
    corrected = np.abs(answer({layer.name: read}, layer.name) - expected).mean()
    assert corrected < 0.3 * plain  # the rest is what the edges read less of


def test_a_setting_stores_the_weights_of_its_float_layers(
    model: onnx.ModelProto, tmp_path: Path
) -> None:
    quantizer = Quantizer(model, nets.media().calibration)
    layer = layers(model)[1]
    kept = frozenset(quantizer.units[1].nodes)
    biases = []
    for stored, corrected in ((False, False), (True, False), (True, True)):
        setting = Setting(all_op_types(), kept, stored=stored, corrected=corrected)
        weights = initializers(quantizer.quantize(setting))
        assert (f"{layer.input[1]}/integers" in weights) is stored
        biases.append(weights[layer.input[2]])
    np.testing.assert_array_equal(biases[0], biases[1])
    assert (biases[1] != biases[2]).any()


def test_a_bias_that_another_reads_stays(model: onnx.ModelProto) -> None:
    first, second = layers(model)[:2]
    second.input[2] = first.input[2]
    before = initializers(model)[first.input[2]]
    means = {first.name: np.ones(3, np.float32), second.name: np.ones(32, np.float32)}
    store_rounded(model, means.keys(), means)
    np.testing.assert_array_equal(initializers(model)[first.input[2]], before)


@pytest.mark.parametrize(
    ("op_type", "shape", "attributes", "axis"),
    [
        ("Gemm", (64, 32), {}, 1),
        ("Gemm", (32, 64), {"transB": 1}, 0),
        ("MatMul", (64, 32), {}, 1),
        ("ConvTranspose", (64, 32, 2, 2), {"strides": [2, 2]}, 1),
    ],
)
def test_scales_are_of_the_channels_that_a_layer_writes(
    op_type: str, shape: tuple[int, ...], attributes: dict[str, Any], axis: int
) -> None:
    weights = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    node = helper.make_node(op_type, ["x", "w"], ["y"], "layer", **attributes)
    value = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None) for n in ("x", "y")]
    constant = onnx.numpy_helper.from_array(weights, "w")
    graph = helper.make_graph([node], "g", value[:1], value[1:], [constant])
    stored = initializers(store_rounded(helper.make_model(graph), {"layer"}, {}))
    sizes = [32 if each == axis else 1 for each in range(len(shape))]
    assert stored["w/scale"].shape == tuple(sizes)

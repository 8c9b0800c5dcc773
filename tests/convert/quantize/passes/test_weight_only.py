"""Weights of float layers in 8 bits: their scales, their size, and their corrected biases."""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper

from convert.export.graph.surgery import initializers
from convert.export.numerics import PREFIX
from convert.quantize.calibrate import calibrate
from convert.quantize.passes.weight_only import store_weights_int8
from convert.quantize.quantizer import QuantizationConfig, Quantizer, all_op_types
from convert.quantize.shapes import infer_shapes
from convert.verify.parity import run_samples
from runtime.engine.session import Session, SessionOptions
from tests.convert.support import nets
from tests.convert.support.parity import write_float_graph


@pytest.fixture
def model(tmp_path: Path) -> onnx.ModelProto:
    return write_float_graph(nets.loaded(nets.convolutions(layers=3)), tmp_path / "float.onnx")


def layers(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type in ("Conv", "Gemm")]


def test_weights_are_rounded_with_a_scale_per_output_channel(model: onnx.ModelProto) -> None:
    name, kernel = layers(model)[1].name, layers(model)[1].input[1]
    weight = initializers(model)[kernel]
    other_layers = layers(model)[::2]
    before = [initializers(model)[node.input[1]] for node in other_layers]
    store_weights_int8(model, {name}, {})
    after = initializers(model)
    integers, scale = after[f"{kernel}/integers"], after[f"{kernel}/scale"]
    assert integers.dtype == np.int8
    assert kernel not in after  # else the file would hold it twice
    assert (np.abs(integers).reshape(32, -1).max(axis=1) == 127).all()
    # half a step of each channel
    assert (np.abs(integers * scale - weight) <= scale * 0.5001).all()
    for weights, layer in zip(before, other_layers, strict=True):
        np.testing.assert_array_equal(after[layer.input[1]], weights)


def test_onnxruntime_restores_float_weights_once_at_loading(
    model: onnx.ModelProto, tmp_path: Path
) -> None:
    names = {node.name for node in layers(model)}
    store_weights_int8(model, names, {})
    onnx.save(model, tmp_path / "stored.onnx")
    Session(tmp_path / "stored.onnx", SessionOptions(optimized_path=tmp_path / "optimized.onnx"))
    loaded = onnx.load(tmp_path / "optimized.onnx")
    restoring = [n.name for n in loaded.graph.node if n.name.endswith(("/cast", "/product"))]
    assert [name for name in restoring if not name.startswith(PREFIX)] == []
    sizes = [(tmp_path / f"{name}.onnx").stat().st_size for name in ("float", "stored")]
    assert sizes[1] < 0.35 * sizes[0]


def test_shared_weights_stay_in_float(model: onnx.ModelProto) -> None:
    first, second = layers(model)[1:3]
    second.input[1] = first.input[1]
    before = initializers(model)[first.input[1]]
    store_weights_int8(model, {first.name, second.name}, {})
    np.testing.assert_array_equal(initializers(model)[first.input[1]], before)


def test_corrected_biases_remove_the_mean_error(model: onnx.ModelProto, tmp_path: Path) -> None:
    samples = nets.sample_sets().calibration
    layer = layers(model)[1]
    input_means = calibrate(infer_shapes(model), samples).channel_means[layer.input[0]]
    value = onnx.helper.make_tensor_value_info(layer.output[0], onnx.TensorProto.FLOAT, None)
    model.graph.output.append(value)

    def mean_channels(means: Mapping[str, NDArray[Any]], *names: str) -> NDArray[Any]:
        onnx.save(store_weights_int8(deepcopy(model), names, means), tmp_path / "probed.onnx")
        channels: NDArray[Any] = run_samples(tmp_path / "probed.onnx", samples)[layer.output[0]]
        return channels.mean(axis=(0, 2, 3))

    expected = mean_channels({})
    plain = np.abs(mean_channels({}, layer.name) - expected).mean()
    corrected = np.abs(mean_channels({layer.name: input_means}, layer.name) - expected).mean()
    assert corrected < 0.3 * plain  # the rest: at the borders zeros replace part of the input


def test_a_configuration_stores_the_weights_of_its_float_layers(
    model: onnx.ModelProto, tmp_path: Path
) -> None:
    quantizer = Quantizer(model, nets.sample_sets().calibration)
    layer = layers(model)[1]
    float_nodes = frozenset(quantizer.layer_groups[1].nodes)
    biases = []
    for stored, corrected in ((False, False), (True, False), (True, True)):
        config = QuantizationConfig(
            all_op_types(), float_nodes, weight_only_int8=stored, bias_correction=corrected
        )
        weights = initializers(quantizer.quantize(config))
        assert (f"{layer.input[1]}/integers" in weights) is stored
        biases.append(weights[layer.input[2]])
    np.testing.assert_array_equal(biases[0], biases[1])
    assert (biases[1] != biases[2]).any()


def test_a_shared_bias_is_not_corrected(model: onnx.ModelProto) -> None:
    first, second = layers(model)[:2]
    second.input[2] = first.input[2]
    before = initializers(model)[first.input[2]]
    means = {first.name: np.ones(3, np.float32), second.name: np.ones(32, np.float32)}
    store_weights_int8(model, means.keys(), means)
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
def test_scales_are_those_of_the_output_channels(
    op_type: str, shape: tuple[int, ...], attributes: dict[str, Any], axis: int
) -> None:
    weights = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    node = helper.make_node(op_type, ["x", "w"], ["y"], "layer", **attributes)
    value = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None) for n in ("x", "y")]
    constant = onnx.numpy_helper.from_array(weights, "w")
    graph = helper.make_graph([node], "g", value[:1], value[1:], [constant])
    constants = initializers(store_weights_int8(helper.make_model(graph), {"layer"}, {}))
    sizes = [32 if other == axis else 1 for other in range(len(shape))]
    assert constants["w/scale"].shape == tuple(sizes)

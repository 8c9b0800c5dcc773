"""Quantized graphs: what is integer in them, what stays in float, and that they repeat."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from convert.errors import ConvertError
from convert.export.numerics import PREFIX, Probabilities
from convert.export.numerics.image import SCALE
from convert.quantize.quantizer import QuantizationConfig, Quantizer, all_op_types
from convert.verify.parity import integer_operators, run_samples
from tests.convert.support import nets
from tests.convert.support.parity import write_float_graph

ALL_OPERATORS = QuantizationConfig(all_op_types())


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("graph") / "exported.onnx"
    write_float_graph(nets.loaded(nets.convolutions(layers=3)), target)
    return target


def quantizer(path: Path) -> Quantizer:
    return Quantizer(onnx.load(path), nets.sample_sets().calibration)


def test_all_convolutions_are_integer_and_answers_stay_close(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "int8.onnx"
    onnx.save(quantizer(path).quantize(ALL_OPERATORS), target)
    operators = integer_operators(target)
    assert operators.get("QLinearConv") == 3
    images = nets.sample_sets().validation
    expected, quantized = (run_samples(p, images)["probabilities"] for p in (path, target))
    assert np.abs(expected - quantized).max() < 0.1
    assert np.abs(expected - quantized).max() > 0  # else nothing was quantized


def test_weights_are_per_channel_int8_and_activations_uint8(path: Path) -> None:
    model = quantizer(path).quantize(ALL_OPERATORS)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    activations, weights = [], []
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear":
            activations.append(tensors[node.input[2]].data_type)
        elif node.op_type == "DequantizeLinear" and node.input[0] in tensors:
            weight = tensors[node.input[0]]
            if len(weight.dims) == 4:
                scales = numpy_helper.to_array(tensors[node.input[1]])
                weights.append((weight.data_type, scales.shape == (weight.dims[0],)))
    assert set(activations) == {TensorProto.UINT8}
    assert weights == [(TensorProto.INT8, True)] * 3


def test_numerics_and_the_last_activation_stay_in_float(path: Path) -> None:
    model = quantizer(path).quantize(ALL_OPERATORS)
    producers = {name: node.op_type for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        if node.name.startswith(PREFIX):
            assert all(producers.get(name) != "DequantizeLinear" for name in node.input[1:])
    scaling = next(node for node in model.graph.node if node.name == PREFIX + SCALE)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    assert constants[scaling.input[1]].data_type == TensorProto.FLOAT
    assert producers["probabilities"] == "Softmax"


def test_softmax_inside_the_network_stays_in_float(tmp_path: Path) -> None:
    from torch import nn

    net = nn.Sequential(nets.convolutions(layers=1), nn.Softmax(dim=1))
    loaded = replace(nets.loaded(net), head=Probabilities(softmax=False))
    write_float_graph(loaded, tmp_path / "exported.onnx")
    model = quantizer(tmp_path / "exported.onnx").quantize(ALL_OPERATORS)
    softmax = next(node for node in model.graph.node if node.op_type == "Softmax")
    reader_types = [node.op_type for node in model.graph.node if softmax.output[0] in node.input]
    assert reader_types == ["Identity"]  # quantized, probabilities would have steps of 1 / 255


def test_float_nodes_stay_in_float(path: Path, tmp_path: Path) -> None:
    one = quantizer(path)
    target = tmp_path / "mixed.onnx"
    float_nodes = frozenset(one.layer_groups[1].nodes)
    onnx.save(one.quantize(QuantizationConfig(all_op_types(), float_nodes)), target)
    # onnxruntime would quantize a single float layer between integer ones itself
    assert integer_operators(target)["QLinearConv"] == 2


def test_quantizing_repeats_byte_for_byte(path: Path) -> None:
    first, second = quantizer(path), quantizer(path)
    first.quantize(QuantizationConfig(("Conv",)))  # an earlier graph must not change a later one
    graphs = [one.quantize(ALL_OPERATORS) for one in (first, second)]
    assert len({graph.SerializeToString(deterministic=True) for graph in graphs}) == 1


def test_no_calibration_inputs_are_refused(path: Path) -> None:
    with pytest.raises(ConvertError, match="calibration failed"):
        Quantizer(onnx.load(path), [])

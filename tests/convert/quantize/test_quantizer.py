from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from convert.errors import ConvertError
from convert.export.numerics import PREFIX, Probabilities
from convert.export.numerics.image import SCALE
from convert.quantize.quantizer import Quantizer, Setting, all_op_types
from convert.quantize.search.layer_groups import units
from convert.verify.parity import integer_operators, run_rows
from tests.convert.support import nets
from tests.convert.support.parity import write_float_graph

ALL = Setting(all_op_types())


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("graph") / "exported.onnx"
    write_float_graph(nets.loaded(nets.convolutions(layers=3)), target)
    return target


def quantizer(path: Path) -> Quantizer:
    return Quantizer(onnx.load(path), nets.media().calibration)


def test_units_are_layers_with_the_activations_after_them(path: Path) -> None:
    found = units(onnx.load(path), nets.media().calibration[0])
    kinds = [[name.rpartition("_")[2] for name in unit.nodes] for unit in found]
    assert [kind[0] for kind in kinds] == ["Conv", "Conv", "Conv", "Gemm"]
    assert kinds[0][1] == "Relu"
    names = [name for unit in found for name in unit.nodes]
    assert len(names) == len(set(names))
    assert not any(name.startswith(PREFIX) for name in names)


def test_work_is_the_share_of_multiplications(path: Path) -> None:
    found = units(onnx.load(path), nets.media().calibration[0])
    # per position: 27 x 32, then twice 288 x 32; the linear layer is next to nothing
    whole = 27 + 288 + 288
    shares = [unit.work for unit in found]
    np.testing.assert_allclose(shares[:3], [27 / whole, 288 / whole, 288 / whole], rtol=1e-3)
    assert sum(shares) == pytest.approx(1)


def test_integer_graph_is_integer_close_and_takes_batches(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "int8.onnx"
    onnx.save(quantizer(path).quantize(ALL), target)
    operators = integer_operators(target)
    assert operators.get("QLinearConv") == 3
    images = nets.media().validation
    reference, found = (run_rows(p, images)["probabilities"] for p in (path, target))
    assert np.abs(reference - found).max() < 0.1
    assert np.abs(reference - found).max() > 0  # else nothing was quantized


def test_weights_are_per_channel_int8_and_activations_uint8(path: Path) -> None:
    model = quantizer(path).quantize(ALL)
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


def test_numerics_and_the_answers_own_activation_stay_in_float(path: Path) -> None:
    model = quantizer(path).quantize(ALL)
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
    model = quantizer(tmp_path / "exported.onnx").quantize(ALL)
    softmax = next(node for node in model.graph.node if node.op_type == "Softmax")
    readers = [node.op_type for node in model.graph.node if softmax.output[0] in node.input]
    assert readers == ["Identity"]  # quantized, probabilities would come in steps of 1 / 255


def test_float_nodes_stay_in_float(path: Path, tmp_path: Path) -> None:
    first = quantizer(path)
    target = tmp_path / "mixed.onnx"
    kept = frozenset(first.units[1].nodes)
    onnx.save(first.quantize(Setting(all_op_types(), kept)), target)
    # onnxruntime would quantize a single float layer between integer ones itself
    assert integer_operators(target)["QLinearConv"] == 2


def test_quantizing_repeats_byte_for_byte(path: Path) -> None:
    first, second = quantizer(path), quantizer(path)
    first.quantize(Setting(("Conv",)))  # what was made before leaves no trace
    one, two = (
        each.quantize(ALL).SerializeToString(deterministic=True) for each in (first, second)
    )
    assert one == two


def test_no_calibration_inputs_are_refused(path: Path) -> None:
    with pytest.raises(ConvertError, match="calibration failed"):
        Quantizer(onnx.load(path), [])

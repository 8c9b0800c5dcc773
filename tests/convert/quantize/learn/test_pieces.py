"""Samples that go through a graph piece by piece are those of the whole graph."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from convert.export.graph.surgery import initializers
from convert.export.numerics import ImageInput
from convert.quantize.learn import layerwise
from convert.quantize.learn.errors import LearningError
from convert.quantize.learn.layerwise import round_layers
from convert.quantize.learn.learned import LearnedLayer, layer_scales, round_as_learned
from convert.quantize.learn.pieces import PieceWalk
from convert.quantize.quantizer import QuantizationConfig, Quantizer, all_op_types
from convert.verify.parity import run_samples
from tests.convert.support import nets
from tests.convert.support.parity import write_float_graph

NAIVE = QuantizationConfig(all_op_types())
SAMPLES = nets.sample_sets(calibration=8, validation=8)


def branches() -> Any:
    """Return a network of a residual sum, a concatenation, pooling and resizing."""
    import torch
    from torch import nn

    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = (nn.Conv2d(n, 8, 3, padding=1) for n in (3, 8))
            self.inner = nn.Conv2d(8, 8, 3, padding=1)
            self.last = nn.Conv2d(16, 8, 1)
            self.linear = nn.Linear(8, nets.CLASSES)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = torch.relu(self.first(x))
            y = nn.functional.leaky_relu(self.second(x)) + x
            z = torch.sigmoid(self.inner(nn.functional.max_pool2d(y, 2)))
            z = nn.functional.interpolate(z, scale_factor=2.0, mode="bilinear")
            joined = self.last(torch.cat([y, z], 1))
            return self.linear(joined.mean((2, 3)))

    torch.manual_seed(2)
    net = Branches()
    net.linear.weight.data *= 8
    return net


@dataclass(frozen=True)
class Quantized:
    quantizer: Quantizer
    path: Path  # of the float graph
    pairs: onnx.ModelProto  # with QDQ pairs

    @property
    def layers(self) -> list[str]:
        scales = layer_scales(self.pairs)
        return [node.name for node in self.quantizer._model.graph.node if node.name in scales]


@pytest.fixture(scope="module")
def quantized(tmp_path_factory: pytest.TempPathFactory) -> Quantized:
    path = tmp_path_factory.mktemp("learn") / "exported.onnx"
    pixels = ImageInput(nets.SIDE, nets.SIDE, 3, mean=(0.4, 0.45, 0.5), std=(0.3, 0.28, 0.26))
    write_float_graph(replace(nets.loaded(branches()), input=pixels), path)
    quantizer = Quantizer(onnx.load(path), SAMPLES.calibration)
    return Quantized(quantizer, path, with_pairs(quantizer, NAIVE))


def with_pairs(quantizer: Quantizer, config: QuantizationConfig) -> onnx.ModelProto:
    return quantizer._quantize_static(config, list(quantizer._nodes_in_float(config)))


def rounded_tensors(model: onnx.ModelProto, sample: Any) -> dict[str, np.ndarray]:
    """Return the bytes of every tensor that the whole graph rounds."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    names = [node.output[0] for node in copy.graph.node if node.op_type == "QuantizeLinear"]
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = ort.InferenceSession(copy.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip(names, session.run(names, sample), strict=True))


def test_each_layer_reads_in_pieces_what_it_reads_in_the_whole_graph(quantized: Quantized) -> None:
    walk = PieceWalk(quantized.pairs, quantized.layers)
    samples = walk.start(SAMPLES.validation[:2])
    expected = [rounded_tensors(quantized.pairs, sample) for sample in SAMPLES.validation[:2]]
    nodes = {node.name: node for node in quantized.pairs.graph.node}
    walked = []
    for piece in walk.pieces:
        for sample, whole in zip(samples, expected, strict=True):
            assert piece.reads <= sample.keys()
            if piece.layer:
                x = walk.read(nodes[piece.layer].input[0], sample)
                assert x.values.dtype == np.uint8
                assert any(np.array_equal(x.values, values) for values in whole.values())
                assert x.scale > 0
        if piece.layer:
            walked.append(piece.layer)
        walk.run(piece, samples)
    assert walked == quantized.layers
    assert len(walked) == 5
    assert samples == [{}, {}]  # nothing outlives its last reader


def test_a_node_is_in_one_piece_and_only_bytes_are_kept(quantized: Quantized) -> None:
    walk = PieceWalk(quantized.pairs, quantized.layers)
    names = [node.name for piece in walk.pieces for node in piece.nodes]
    everything = [n for n in quantized.pairs.graph.node if n.op_type != "DequantizeLinear"]
    assert sorted(names) == sorted(node.name for node in everything)
    side = nets.SIDE**2
    # 8 channels of two tensors in bytes, or the pixels: no float of 8 channels
    assert side * 8 < walk.most_bytes(SAMPLES.validation[0]) < side * 8 * 4


def test_a_graph_in_a_node_is_refused() -> None:
    inner = helper.make_graph([], "inner", [], [])
    node = helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)
    x = helper.make_tensor_value_info("x", TensorProto.BOOL, [1])
    model = helper.make_model(helper.make_graph([node], "outer", [x], []))
    with pytest.raises(LearningError, match="graph of its own"):
        PieceWalk(model, [])


def mean_error(quantized: Quantized, config: QuantizationConfig, directory: Path) -> float:
    """Return how far answers on samples that took no part are from those of float."""
    path = directory / "graph.onnx"
    onnx.save(quantized.quantizer.quantize(config), path)
    expected, actual = (
        run_samples(file, SAMPLES.validation)["probabilities"] for file in (quantized.path, path)
    )
    return float(np.abs(expected - actual).mean())


def test_learning_lowers_the_error_on_samples_that_took_no_part(
    quantized: Quantized, tmp_path: Path
) -> None:
    states: list[str] = []
    quantizer = quantized.quantizer
    quantizer.learn(NAIVE, states.append)
    learned = quantizer.learned
    assert learned.layers.keys() == set(quantized.layers)
    assert states[0] == "learning, sample 1 of 8 in float"
    assert states[-1] == "learning, layer 5 of 5"
    config = replace(NAIVE, learned=True)
    before = mean_error(quantized, NAIVE, tmp_path)
    assert mean_error(quantized, config, tmp_path) < 0.75 * before
    again = round_layers(quantized.pairs, quantizer._model, SAMPLES.calibration)
    assert again.digest == learned.digest
    assert dequantized(with_pairs(quantizer, config)).keys() == learned.layers.keys()
    for name, (weight, bias) in dequantized(with_pairs(quantizer, config)).items():
        layer = learned.layers[name]
        np.testing.assert_allclose(weight, layer.weight, rtol=1e-6)
        assert layer.bias is not None
        np.testing.assert_allclose(bias, layer.bias, atol=1e-3 * np.abs(bias).max())


def test_each_layer_keeps_its_mean_answer_behind_the_learned_ones(quantized: Quantized) -> None:
    # the last layer's bias fits the inputs that all learned layers before it make
    model = quantized.quantizer._model
    learned = round_layers(quantized.pairs, model, SAMPLES.calibration)
    pairs = onnx.ModelProto()
    pairs.CopyFrom(quantized.pairs)
    round_as_learned(pairs, model, learned.layers, {})
    last = quantized.layers[-1]
    node = next(node for node in model.graph.node if node.name == last)
    reader = next(node for node in pairs.graph.node if node.name == last)
    walk = PieceWalk(pairs, quantized.layers)
    samples = walk.start(SAMPLES.calibration)
    for piece in walk.pieces[:-1]:
        walk.run(piece, samples)
    own = (walk.read(reader.input[0], sample) for sample in samples)
    x = np.concatenate([(r.values.astype(np.float64) - r.zero_point) * r.scale for r in own])
    layer = learned.layers[last]
    weights = layer.weight.T if node.attribute else layer.weight
    answers = layerwise._answers(model, {last: node}, SAMPLES.calibration, 8, print)
    assert layer.bias is not None
    np.testing.assert_allclose(x.mean(0) @ weights + layer.bias, answers[last].means, atol=1e-4)


def test_samples_that_memory_does_not_hold_are_left_out(
    quantized: Quantized, monkeypatch: pytest.MonkeyPatch
) -> None:
    states: list[str] = []
    size = PieceWalk(quantized.pairs, quantized.layers).most_bytes(SAMPLES.calibration[0])
    monkeypatch.setattr(layerwise, "MOST_BYTES", 3 * size)
    model = quantized.quantizer._model
    round_layers(quantized.pairs, model, SAMPLES.calibration, states.append)
    assert "learning, sample 3 of 3 in float" in states


def dequantized(pairs: onnx.ModelProto) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the weights and biases that the integer layers multiply by and add."""
    constants = initializers(pairs)
    producers = {node.output[0]: node for node in pairs.graph.node}
    result = {}
    for node in pairs.graph.node:
        if node.name in layer_scales(pairs):
            values = []
            for name in node.input[1:3]:
                integers, scale = (constants[n] for n in producers[name].input[:2])
                shape = [1] * integers.ndim
                axis = [a.i for a in producers[name].attribute if a.name == "axis"] or [0]
                if scale.ndim:
                    shape[min(axis[0], integers.ndim - 1)] = -1
                values.append(integers * scale.reshape(shape))
            result[node.name] = (values[0], values[1])
    return result


def test_weights_of_another_scale_keep_the_learned_mean(quantized: Quantized) -> None:
    """Eight times as coarse weights answer as the learned ones on average."""
    model = quantized.quantizer._model
    name = quantized.layers[1]
    node = next(node for node in model.graph.node if node.name == name)
    weight, bias = (initializers(model)[tensor] for tensor in node.input[1:3])
    pairs = onnx.ModelProto()
    pairs.CopyFrom(quantized.pairs)
    tensors = {tensor.name: tensor for tensor in pairs.graph.initializer}
    producers = {other.output[0]: other for other in pairs.graph.node}
    layer = next(other for other in pairs.graph.node if other.name == name)
    for source in (producers[tensor] for tensor in layer.input[1:3]):  # the scales of both
        scale = tensors[source.input[1]]
        values = numpy_helper.to_array(scale) * np.float32(8)
        scale.CopyFrom(numpy_helper.from_array(values, scale.name))
    mean = np.linspace(0, 1, weight.shape[1]).astype(np.float32)
    round_as_learned(pairs, model, {name: LearnedLayer(weight, bias)}, {node.input[0]: mean})
    coarse, coarse_bias = dequantized(pairs)[name]
    answer = coarse.sum((2, 3)) @ mean + coarse_bias
    expected = weight.sum((2, 3)) @ mean + bias
    assert np.abs(coarse - weight).max() > 0
    np.testing.assert_allclose(answer, expected, atol=1e-3)

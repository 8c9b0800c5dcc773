"""The simulated graph is onnxruntime's, and its gradients are those of rounded values."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import numpy_helper

from convert.export.graph.surgery import initializers
from convert.export.numerics import ImageInput
from convert.quantize.learn.fake_quantize import fake_quantize
from convert.quantize.learn.gradients import Rates, follow_gradients
from convert.quantize.learn.layerwise import round_layers
from convert.quantize.learn.learned import Learned, LearnedLayer, round_as_learned
from convert.quantize.learn.simulation import Range, Simulation
from convert.quantize.quantizer import QuantizationConfig, Quantizer, all_op_types
from convert.verify.parity import run_samples
from tests.convert.support import nets
from tests.convert.support.parity import write_float_graph

NAIVE = QuantizationConfig(all_op_types())
LEARNED = replace(NAIVE, learned="gradients")
LEAST_EXACT = 0.98  # of the values: others lie so near between two steps that float sums decide
FAST = Rates(ranges=0.01, biases=0.02, weights=0.01)  # for a small network and few steps
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
    def simulation(self) -> Simulation:
        return Simulation(self.pairs, self.quantizer._model)


@pytest.fixture(scope="module")
def quantized(tmp_path_factory: pytest.TempPathFactory) -> Quantized:
    path = tmp_path_factory.mktemp("learn") / "exported.onnx"
    # with mean and deviation of 0.5 and 0.25 every pixel would lie between two steps
    pixels = ImageInput(nets.SIDE, nets.SIDE, 3, mean=(0.4, 0.45, 0.5), std=(0.3, 0.28, 0.26))
    write_float_graph(replace(nets.loaded(branches()), input=pixels), path)
    quantizer = Quantizer(onnx.load(path), SAMPLES.calibration)
    return Quantized(quantizer, path, with_pairs(quantizer, NAIVE))


def with_pairs(quantizer: Quantizer, config: QuantizationConfig) -> onnx.ModelProto:
    return quantizer._quantize_static(config, list(quantizer._nodes_in_float(config)))


def integers_of(model: onnx.ModelProto, sample: Any) -> dict[str, np.ndarray]:
    """Return the bytes of every tensor that onnxruntime's own integer kernels round."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    names = [node.output[0] for node in copy.graph.node if node.op_type == "QuantizeLinear"]
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = ort.InferenceSession(copy.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip(names, session.run(names, sample), strict=True))


def test_each_rounded_tensor_is_that_of_onnxruntime_within_a_step(quantized: Quantized) -> None:
    sample = SAMPLES.validation[0]
    expected = integers_of(quantized.pairs, sample)
    constants = initializers(quantized.pairs)
    dequantizers = {
        node.input[0]: node
        for node in quantized.pairs.graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in expected
    }
    assert len(dequantizers) > 8
    with torch.no_grad():
        names = [node.output[0] for node in dequantizers.values()]
        actual = quantized.simulation.run(sample, names)
    for name, node in dequantizers.items():
        scale, zero = (constants[parameter] for parameter in node.input[1:3])
        steps = actual[node.output[0]].numpy() / scale + int(zero) - expected[name].astype(float)
        assert np.abs(steps).max() < 1.01, name
        assert (np.abs(steps) < 0.01).mean() > LEAST_EXACT, name


def test_a_moved_tensor_is_rounded_again_unless_its_scale_is_the_same(
    quantized: Quantized,
) -> None:
    pairs = onnx.ModelProto()
    pairs.CopyFrom(quantized.pairs)
    pool = next(node for node in pairs.graph.node if node.op_type == "MaxPool")
    quantize = next(node for node in pairs.graph.node if node.input[:1] == pool.output[:1])
    producers = {node.output[0]: node for node in pairs.graph.node}
    assert producers[pool.input[0]].op_type == "DequantizeLinear"
    scale = next(t for t in pairs.graph.initializer if t.name == quantize.input[1])
    coarse = numpy_helper.from_array(numpy_helper.to_array(scale) * np.float32(16), "coarse_scale")
    pairs.graph.initializer.append(coarse)
    for node in pairs.graph.node:  # the pair behind the pool
        if node is quantize or node.input[:1] == quantize.output[:1]:
            node.input[1] = coarse.name
    name = next(n.output[0] for n in pairs.graph.node if n.input[:1] == quantize.output[:1])
    with torch.no_grad():
        values = Simulation(pairs, quantized.quantizer._model).run(SAMPLES.validation[0], [name])
    steps = values[name].numpy() / numpy_helper.to_array(coarse)
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-3)
    assert len(np.unique(np.rint(steps))) > 2


def test_range_has_the_scale_and_zero_point_of_the_graph() -> None:
    with torch.no_grad():
        low, high = Range(0.1, 30).tensors()
        zero, _ = Range(0.1, 0).tensors()
    assert (float(low), float(high)) == pytest.approx((-3.0, 22.5), rel=1e-6)
    assert float(zero) == 0  # of a Relu: it stays so whatever is learned


def test_gradients_are_those_of_the_rounded_values() -> None:
    """Inside, a value passes its gradient; the bounds move what is clipped, and the steps."""
    x = torch.tensor([-5.0, -0.33, 0.0, 0.47, 1.23, 9.0], requires_grad=True)
    low, high = (torch.tensor(bound, requires_grad=True) for bound in (-1.02, 1.53))
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    rounded = fake_quantize(x, low, high)
    scale, zero = 0.01, 102  # (1.53 + 1.02) / 255, and -low / scale
    expected = (torch.clamp(torch.round(x / scale), -zero, 255 - zero) * scale).detach()
    assert torch.allclose(rounded, expected)
    (rounded * weights).sum().backward()
    inside = torch.tensor([0.0, 1.0, 1.0, 1.0, 1.0, 0.0])
    assert x.grad is not None
    assert low.grad is not None
    assert high.grad is not None
    assert torch.allclose(x.grad, weights * inside)
    # of the scale: rounded less x inside, the bound itself outside; of the zero point: -scale
    of_scale = ((expected - x.detach() * inside) / scale * weights).sum()
    of_zero = -scale * (weights * (1 - inside)).sum()
    # scale = (high - low) / 255, zero point = -low / scale
    of_high = of_scale / 255 + of_zero * -1.02 / scale**2 / 255
    of_low = -of_scale / 255 + of_zero * (-1 / scale + 1.02 / scale**2 / 255)
    assert float(high.grad) == pytest.approx(float(of_high), rel=1e-3)
    assert float(low.grad) == pytest.approx(float(of_low), rel=1e-3)
    assert float(high.grad) == pytest.approx(6.0, abs=0.1)  # 9.0 was clipped to it, weighted by 6
    assert float(low.grad) == pytest.approx(1.0, abs=0.1)


def mean_error(quantized: Quantized, config: QuantizationConfig, directory: Path) -> float:
    """Return how far answers on samples that took no part are from those of float."""
    path = directory / "graph.onnx"
    onnx.save(quantized.quantizer.quantize(config), path)
    expected, actual = (
        run_samples(file, SAMPLES.validation)["probabilities"] for file in (quantized.path, path)
    )
    return float(np.abs(expected - actual).mean())


def test_layers_that_answer_as_float_lower_the_error_on_samples_that_took_no_part(
    quantized: Quantized, tmp_path: Path
) -> None:
    states: list[str] = []
    quantizer = quantized.quantizer
    learned = round_layers(quantized.pairs, quantizer._model, SAMPLES.calibration, states.append)
    assert learned.layers.keys() == {layer.node for layer in quantized.simulation.layers}
    assert states[-1] == "learning layers, sample 8 of 8"
    quantizer.learned["layers"] = learned
    before = mean_error(quantized, NAIVE, tmp_path)
    assert mean_error(quantized, replace(NAIVE, learned="layers"), tmp_path) < 0.75 * before
    again = round_layers(quantized.pairs, quantizer._model, SAMPLES.calibration)
    assert again.digest == learned.digest


def learn_all(quantized: Quantized, steps: int = 160) -> Learned:
    model = quantized.quantizer._model
    return follow_gradients(quantized.pairs, model, SAMPLES.calibration, steps=steps, rates=FAST)


def test_learning_lowers_the_error_on_samples_that_took_no_part(
    quantized: Quantized, tmp_path: Path
) -> None:
    before = mean_error(quantized, NAIVE, tmp_path)
    learned = learn_all(quantized)
    quantized.quantizer.learned["gradients"] = learned
    assert np.mean(learned.losses[-8:]) < 0.7 * np.mean(learned.losses[:8])
    assert mean_error(quantized, LEARNED, tmp_path) < 0.8 * before


def test_learning_repeats(quantized: Quantized) -> None:
    first, second = (learn_all(quantized, steps=5) for _ in range(2))
    assert first.digest == second.digest
    assert first.digest != learn_all(quantized, steps=4).digest


def test_learned_bytes_and_ranges_are_in_the_graph(quantized: Quantized) -> None:
    learned = learn_all(quantized, steps=20)
    quantized.quantizer.learned["gradients"] = learned
    after = with_pairs(quantized.quantizer, LEARNED)
    simulation = Simulation(after, quantized.quantizer._model)
    for name, (low, high) in learned.ranges.items():
        bounds = simulation.ranges[name].bounds
        step = (high - low) / 255
        assert bounds == pytest.approx((low, high), abs=step)
    changed = 0
    before = quantized.simulation
    for layer in simulation.layers:
        weight = simulation.weights[layer.weight].tensor().detach().numpy()
        np.testing.assert_allclose(weight, learned.layers[layer.node].weight, rtol=1e-6)
        changed += int((before.weights[layer.weight].tensor() != torch.from_numpy(weight)).sum())
        if layer.bias is not None:
            values = simulation.biases[layer.bias].tensor().detach().numpy()
            expected = learned.layers[layer.node].bias
            assert expected is not None
            np.testing.assert_allclose(values, expected, atol=1e-3 * np.abs(expected).max())
    assert changed > 0
    assert len(simulation.layers) == 5


def test_weights_of_another_scale_keep_the_learned_mean(quantized: Quantized) -> None:
    """Twice as coarse weights answer as the learned ones on average."""
    model = quantized.quantizer._model
    name = quantized.simulation.layers[1].node
    node = next(node for node in model.graph.node if node.name == name)
    weight, bias = (initializers(model)[tensor] for tensor in node.input[1:3])
    pairs = onnx.ModelProto()
    pairs.CopyFrom(quantized.pairs)
    tensors = {tensor.name: tensor for tensor in pairs.graph.initializer}
    for suffix in ("weight", "bias"):  # the scales of both
        index = ("weight", "bias").index(suffix) + 1
        source = next(
            other
            for other in pairs.graph.node
            if other.op_type == "DequantizeLinear"
            and other.input[0].removesuffix("_quantized") == node.input[index]
        )
        scale = tensors[source.input[1]]
        values = numpy_helper.to_array(scale) * np.float32(8)
        scale.CopyFrom(numpy_helper.from_array(values, scale.name))
    mean = np.linspace(0, 1, weight.shape[1]).astype(np.float32)
    layers = {name: LearnedLayer(weight, bias)}
    round_as_learned(pairs, model, layers, {node.input[0]: mean})
    simulation = Simulation(pairs, model)
    layer = next(layer for layer in simulation.layers if layer.node == name)
    assert layer.bias is not None
    coarse = simulation.weights[layer.weight].tensor().detach().numpy()
    answer = coarse.sum((2, 3)) @ mean + simulation.biases[layer.bias].tensor().detach().numpy()
    expected = weight.sum((2, 3)) @ mean + bias
    assert np.abs(coarse - weight).max() > 0
    np.testing.assert_allclose(answer, expected, atol=1e-3)


@pytest.mark.parametrize(("seconds", "steps"), [(1000.0, 40), (70.0, 7), (0.0, 0)])
def test_a_bound_of_seconds_makes_fewer_steps(
    quantized: Quantized, seconds: float, steps: int
) -> None:
    states: list[str] = []
    learned = follow_gradients(
        quantized.pairs,
        quantized.quantizer._model,
        SAMPLES.calibration,
        steps=40,
        seconds=seconds,
        clock=lambda: 10.0 * len(states),  # a step takes ten seconds
        observe=states.append,
    )
    assert len(learned.losses) == steps
    assert states[-1:] == ([f"learning, step {steps} of {steps}"] if steps else [])

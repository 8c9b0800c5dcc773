"""Transformers: the ways in which their matrix products become integer, and the choice."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx
import pytest

from convert.metrics import measure
from convert.quantize.layers import WEIGHTED
from convert.quantize.quantizer import MatmulMode, QuantizationConfig, Quantizer
from convert.quantize.search.candidates import TRANSFORMER_SETS
from convert.quantize.search.layer_groups import layer_groups
from convert.recipe import Tolerance
from convert.samples.sets import same_shape_indices
from convert.verify.parity import batch_invariant, integer_operators, run_samples
from runtime.engine.session import Feeds
from tests.convert.support import nets
from tests.convert.support.parity import run_and_choose, write_float_graph
from tests.convert.support.quantized import count_quantizations, fix_timings

WIDTH = 64
MODES = get_args(MatmulMode)


def mixer() -> Any:
    """Return a net on the rows of an image: attention and two linear layers around norms."""
    import torch
    from torch import nn

    class Mixer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Linear(3 * nets.SIDE, WIDTH)
            self.norm, self.after = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
            self.widen, self.narrow = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
            self.classify = nn.Linear(WIDTH, nets.CLASSES)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            rows = image.transpose(1, 2).flatten(2)
            x = self.norm(self.embed(rows))
            weights = torch.softmax(x @ x.transpose(1, 2) / 8, dim=-1)
            x = self.after(x + weights @ x)
            x = x + self.narrow(nn.functional.gelu(self.widen(x)))
            return self.classify(x.mean(dim=1)) * 2

    module = Mixer()
    rng = np.random.default_rng(3)
    for name, parameter in module.named_parameters():
        if parameter.ndim > 1:
            scale = np.sqrt(2 / parameter.shape[1])
            noise = rng.standard_normal(tuple(parameter.shape)) * scale
            parameter.data = torch.from_numpy(noise.astype(np.float32))
        else:
            parameter.data.fill_(1.0 if "weight" in name else 0.0)
    return module


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("mixer") / "exported.onnx"
    write_float_graph(nets.loaded(mixer()), target)
    return target


def test_small_layers_before_the_first_large_one_stay_in_float(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quantizer = Quantizer(onnx.load(path), nets.sample_sets().calibration)
    assert not quantizer.small_head  # a tenth of this net's work
    first = next(node for node in onnx.load(path).graph.node if node.op_type == "MatMul")
    monkeypatch.setattr(quantizer, "small_head", frozenset({first.name}))
    weights = {tensor.name for tensor in onnx.load(path).graph.initializer}
    (weight,) = weights.intersection(first.input)
    for mode in MODES:
        model = quantizer.quantize(QuantizationConfig(WEIGHTED, matmul_mode=mode))
        stays = any(tensor.name == weight for tensor in model.graph.initializer)
        assert stays is (mode != "static"), mode


@pytest.fixture(scope="module")
def quantizer(path: Path) -> Quantizer:
    return Quantizer(onnx.load(path), nets.sample_sets().calibration)


def write_quantized(quantizer: Quantizer, mode: MatmulMode, target: Path) -> Path:
    onnx.save(quantizer.quantize(QuantizationConfig(WEIGHTED, matmul_mode=mode)), target)
    return target


def test_matmul_share(quantizer: Quantizer, tmp_path: Path) -> None:
    other = tmp_path / "convolutions.onnx"
    write_float_graph(nets.loaded(nets.convolutions(layers=2)), other)

    assert quantizer.matmul_share > 0.95
    assert Quantizer(onnx.load(other), nets.sample_sets().calibration).matmul_share == 0


@pytest.mark.parametrize(
    ("mode", "operators"),
    [
        ("static_weight", {"MatMulIntegerToFloat": 3}),
        ("dynamic", {"DynamicQuantizeMatMul": 3}),
        # the products that embed and narrow have more inputs than outputs
        ("mixed", {"MatMulIntegerToFloat": 1, "MatMulNBits": 2}),
    ],
)
def test_products_with_weights_become_integer_and_stay_close(
    quantizer: Quantizer,
    path: Path,
    tmp_path: Path,
    mode: MatmulMode,
    operators: dict[str, int],
) -> None:
    target = write_quantized(quantizer, mode, tmp_path / "int8.onnx")
    samples = nets.sample_sets().validation

    counts = dict(integer_operators(target))
    distance = measure(run_samples(path, samples), run_samples(target, samples)).metrics

    # the product of two activations stays in float, and so does what follows each product
    assert {name: counts.get(name, 0) for name in operators} == operators
    assert "QLinearMatMul" not in counts
    assert distance["probability_distance"] < 0.05
    assert target.stat().st_size < 0.45 * path.stat().st_size


def test_dynamic_ranges_make_rows_depend_on_their_batch(
    quantizer: Quantizer, tmp_path: Path
) -> None:
    samples = nets.sample_sets().validation

    assert batch_invariant(
        write_quantized(quantizer, "static_weight", tmp_path / "static.onnx"), samples
    )
    # also where three equal rows show no difference
    equal = (samples[0],) * 3
    dynamic = write_quantized(quantizer, "dynamic", tmp_path / "dynamic.onnx")
    assert not batch_invariant(dynamic, equal)


def test_float_nodes_stay_in_float(quantizer: Quantizer, tmp_path: Path) -> None:
    float_nodes = frozenset(quantizer.layer_groups[0].nodes)
    modes: tuple[MatmulMode, ...] = ("static_weight", "dynamic", "mixed")
    for mode in modes:
        config = QuantizationConfig(WEIGHTED, float_nodes, mode)
        target = tmp_path / f"{mode}.onnx"
        onnx.save(quantizer.quantize(config), target)
        whole = write_quantized(quantizer, mode, tmp_path / "whole.onnx")
        fewer = sum(integer_operators(whole).values()) - sum(integer_operators(target).values())
        assert fewer == 1


def test_work_follows_the_length_of_the_sample(tmp_path: Path) -> None:
    """Compare a convolution over S values with a product of one vector."""
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Conv1d(1, 8, 5), nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.first(x).mean(dim=2, keepdim=True).transpose(1, 2))

    model = _exported(Net(), tmp_path / "graph.onnx")
    shares = {
        length: layer_groups(model, {"x": np.zeros((1, 1, length), np.float32)})[0].work
        for length in (20, 2000)
    }
    # 8 x 5 products at each of length - 4 positions, against 8 x 8
    assert shares[20] == pytest.approx(16 * 40 / (16 * 40 + 64))
    assert shares[2000] == pytest.approx(1996 * 40 / (1996 * 40 + 64))


def _exported(module: Any, path: Path) -> onnx.ModelProto:
    import warnings

    import torch

    from convert.export.graph.surgery import canonicalize, free_batch, simplify

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracing exporter warns that it is the older one
        torch.onnx.export(
            module.eval(),
            (torch.zeros(1, 1, 20),),
            path,
            input_names=["x"],
            dynamic_axes={"x": {0: "N", 2: "S"}},
            opset_version=17,
            dynamo=False,
        )
    model = canonicalize(simplify(free_batch(onnx.load(path))))
    return onnx.shape_inference.infer_shapes(model, data_prop=True)


@pytest.mark.parametrize(
    ("dynamic_ms", "operators"),
    [(4.5, "layers of weights"), (4.0, "layers of weights, dynamic MatMul")],
)
def test_dynamic_wins_only_where_it_is_much_faster(
    path: Path, monkeypatch: pytest.MonkeyPatch, dynamic_ms: float, operators: str
) -> None:
    fix_timings(monkeypatch, 10, 5, 6, 8, dynamic_ms)

    choice = run_and_choose(path, nets.sample_sets(), tolerance=Tolerance())

    assert choice.settings["operators"] == operators
    names = [record["name"] for record in choice.candidates if not record.get("searched")]
    assert names == ["float", *TRANSFORMER_SETS]


def test_float_layers_are_searched_where_no_set_qualifies_and_nothing_is_quantized_twice(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fix_timings(monkeypatch, 10, 5, 6, 8, 4)
    counts = count_quantizations(monkeypatch)
    impossible = Tolerance(at_most={"probability_distance": -1})

    choice = run_and_choose(path, nets.sample_sets(), tolerance=impossible)

    assert choice.int8 is None
    assert choice.candidates[1]["graphs_tried"] > 1
    assert counts.total() == len(counts)


def test_samples_of_a_batch_have_equal_lengths() -> None:
    def sound(samples: int) -> Feeds:
        return {"waveform": np.zeros((1, samples), np.float32)}

    assert same_shape_indices([sound(5), sound(7), sound(7), sound(5), sound(7)], 3) == [1, 2, 4]
    assert same_shape_indices([sound(7), sound(7), sound(5)], 3) == [0, 1, 0]
    assert same_shape_indices([sound(5), sound(6)], 3) == [0, 0, 0]

"""Networks whose work is products, as transformers: how they become integer, and which wins."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from convert.metrics import measure
from convert.quantize.layers import WEIGHTED
from convert.quantize.quantizer import Products, Quantizer, Setting
from convert.quantize.search.candidates import PRODUCT_RUNGS
from convert.quantize.search.layer_groups import units
from convert.recipe import Tolerance
from convert.samples.sets import same_shape_indices
from convert.verify.parity import batch_invariant, integer_operators, run_rows
from runtime.engine.session import Feeds
from tests.convert.support import nets
from tests.convert.support.parity import run_and_choose, write_float_graph
from tests.convert.support.quantized import count_quantizations, fix_timings

WIDTH = 64


def mixer() -> Any:
    """Rows of an image as a sequence: attention and two linear layers around norms."""
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


@pytest.fixture(scope="module")
def quantizer(path: Path) -> Quantizer:
    return Quantizer(onnx.load(path), nets.media().calibration)


def written(quantizer: Quantizer, products: Products, target: Path) -> Path:
    onnx.save(quantizer.quantize(Setting(WEIGHTED, products=products)), target)
    return target


def test_share_of_products(quantizer: Quantizer, tmp_path: Path) -> None:
    other = tmp_path / "convolutions.onnx"
    write_float_graph(nets.loaded(nets.convolutions(layers=2)), other)

    assert quantizer.product_share > 0.95
    assert Quantizer(onnx.load(other), nets.media().calibration).product_share == 0


@pytest.mark.parametrize(
    ("products", "operators"),
    [("inputs", {"MatMulIntegerToFloat": 3}), ("dynamic", {"DynamicQuantizeMatMul": 3})],
)
def test_products_with_weights_become_integer_and_stay_close(
    quantizer: Quantizer,
    path: Path,
    tmp_path: Path,
    products: Products,
    operators: dict[str, int],
) -> None:
    target = written(quantizer, products, tmp_path / "int8.onnx")
    samples = nets.media().validation

    found = dict(integer_operators(target))
    distance = measure(run_rows(path, samples), run_rows(target, samples)).metrics

    # the product of two activations stays in float, and so does what follows each product
    assert {name: found.get(name, 0) for name in operators} == operators
    assert "QLinearMatMul" not in found
    assert distance["probability_distance"] < 0.05
    assert target.stat().st_size < 0.45 * path.stat().st_size


def test_a_range_measured_at_run_is_never_of_a_batch(quantizer: Quantizer, tmp_path: Path) -> None:
    samples = nets.media().validation

    assert batch_invariant(written(quantizer, "inputs", tmp_path / "static.onnx"), samples)
    # even where a batch of one row again and again would show no difference
    alike = (samples[0],) * 3
    assert not batch_invariant(written(quantizer, "dynamic", tmp_path / "dynamic.onnx"), alike)


def test_float_nodes_stay_in_float(quantizer: Quantizer, tmp_path: Path) -> None:
    kept = frozenset(quantizer.units[0].nodes)
    for products in ("inputs", "dynamic"):
        setting = Setting(WEIGHTED, kept, products)
        target = tmp_path / f"{products}.onnx"
        onnx.save(quantizer.quantize(setting), target)
        whole = written(quantizer, setting.products, tmp_path / "whole.onnx")
        fewer = sum(integer_operators(whole).values()) - sum(integer_operators(target).values())
        assert fewer == 1


def test_work_follows_the_length_of_the_sample(tmp_path: Path) -> None:
    """A convolution over S samples, and a product of one vector."""
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
        length: units(model, {"x": np.zeros((1, 1, length), np.float32)})[0].work
        for length in (20, 2000)
    }
    # 8 x 5 products at each of length - 4 places, against 8 x 8
    assert shares[20] == pytest.approx(16 * 40 / (16 * 40 + 64))
    assert shares[2000] == pytest.approx(1996 * 40 / (1996 * 40 + 64))


def _exported(module: Any, path: Path) -> onnx.ModelProto:
    import warnings

    import torch

    from convert.export.graph.surgery import canonicalize, free_batch, simplify

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracing exporter, that it is the older one
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
    fix_timings(monkeypatch, 10, 5, 8, dynamic_ms)

    choice = run_and_choose(path, nets.media(), tolerance=Tolerance())

    assert choice.settings["operators"] == operators
    judged = [each["name"] for each in choice.candidates if not each.get("searched")]
    assert judged == ["float", *PRODUCT_RUNGS]


def test_what_no_rung_as_it_stands_keeps_is_searched_for_and_nothing_measured_twice(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fix_timings(monkeypatch, 10, 5, 8, 4)
    counts = count_quantizations(monkeypatch)
    never = Tolerance(at_most={"probability_distance": -1})

    choice = run_and_choose(path, nets.media(), tolerance=never)

    assert choice.int8 is None
    assert choice.candidates[1]["graphs_tried"] > 1
    assert counts.total() == len(counts)


def test_companions_are_of_one_length() -> None:
    def sound(samples: int) -> Feeds:
        return {"waveform": np.zeros((1, samples), np.float32)}

    assert same_shape_indices([sound(5), sound(7), sound(7), sound(5), sound(7)], 3) == [1, 2, 4]
    assert same_shape_indices([sound(7), sound(7), sound(5)], 3) == [0, 1, 0]
    assert same_shape_indices([sound(5), sound(6)], 3) == [0, 0, 0]

"""The choice between INT8 and float, with graphs that must not serve among the candidates."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from convert.errors import ConvertError
from convert.export.numerics import PREFIX, StretchedAlpha
from convert.gate.evidence import Evidence
from convert.gate.rule import Rule
from convert.quantize import quantizer as quantizer_module
from convert.quantize.choose import Choice, choose
from convert.quantize.quantizer import QuantizationConfig, Quantizer, all_op_types
from convert.quantize.search import candidates
from convert.quantize.search.candidates import GRAPHS, RESERVED_GRAPHS, Effort
from convert.recipe import Loaded, Tolerance
from convert.samples.sets import SampleSets
from convert.verify.parity import run_graph, run_samples
from tests.convert.support import nets
from tests.convert.support.parity import run_and_choose, write_float_graph
from tests.convert.support.quantized import fix_timings

CLOSE = Tolerance(at_most={"probability_distance": 0.01})
ANY = Tolerance()
IMPOSSIBLE = Tolerance(at_most={"probability_distance": -1})
EFFORTS: tuple[Effort, ...] = ("default", "thorough")

Write = Callable[[Loaded], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_graph(loaded: Loaded) -> Path:
        write_float_graph(loaded, tmp_path / "exported.onnx")
        return tmp_path / "exported.onnx"

    return write_graph


@pytest.fixture
def small(write: Write) -> Path:
    """Return the float graph of two convolutions and a linear layer."""
    return write(nets.loaded(nets.convolutions(layers=2)))


def choose_for(path: Path, tolerance: Tolerance, **options: Any) -> Choice:
    return run_and_choose(path, nets.sample_sets(), tolerance=tolerance, **options)


def objections(choice: Choice) -> list[list[str]]:
    """Return the objections to each candidate that was timed."""
    return [record["objections"] for record in choice.candidates if "integer_operators" in record]


def test_precision_float_tries_nothing(small: Path) -> None:
    choice = choose_for(small, CLOSE, precision="float")
    assert (choice.int8, choice.candidates) == (None, ())
    assert choice.settings == {"precision": "float"}


def test_fast_and_accurate_int8_is_packaged(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # the second candidate is faster, but not by the 5 % that would be more than noise
    fix_timings(monkeypatch, 10, 5, 4.9)
    choice = choose_for(small, ANY)
    assert choice.int8 is not None
    assert choice.settings["operators"] == "all operators"
    names = [record["name"] for record in choice.candidates if not record.get("searched")]
    assert names == ["float", "all operators", "layers only"]


def test_a_later_candidate_wins_if_faster_by_more_than_noise(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fix_timings(monkeypatch, 10, 5, 4)
    assert choose_for(small, ANY).settings["operators"] == "layers only"


def test_slower_int8_is_not_packaged(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fix_timings(monkeypatch, 10, 11, 9.9)  # 1.01 x is within the noise
    choice = choose_for(small, ANY)
    assert choice.int8 is None
    assert "0.91 x the speed of float < 1.05" in choice.reason
    assert "1.01 x the speed of float < 1.05" in choice.reason


def test_precision_int8_is_refused_with_the_objections(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fix_timings(monkeypatch, 10, 5)
    with pytest.raises(ConvertError) as refusal:
        choose_for(small, IMPOSSIBLE, precision="int8")
    assert "INT8 was asked for and does not qualify" in str(refusal.value)
    assert "INT8 of all operators: probability_distance" in str(refusal.value)
    assert "> -1" in str(refusal.value)
    choice = choose_for(small, IMPOSSIBLE)
    assert choice.int8 is None
    assert "probability_distance" in choice.reason


def test_the_bounds_of_the_task_decide_where_there_is_evidence(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fix_timings(monkeypatch, 10, 5, 4.9)
    samples = nets.sample_sets()
    run = run_graph(small, samples.test)
    lenient = Tolerance(at_most={"probability_distance": 0.5})
    evidence = Evidence(sources=60, sure=120, sure_noun="sure inputs", sure_needed=100)
    accepting = Rule(IMPOSSIBLE, lenient, evidence)
    accepted = choose(run, samples, rule=accepting)
    assert accepted.int8 is not None
    assert accepted.verdict["verdict"] == "accepted"
    assert accepted.look == 1
    refused = choose(run, samples, rule=Rule(lenient, IMPOSSIBLE, evidence))
    assert refused.int8 is None
    assert refused.verdict["verdict"] == "refused"
    assert refused.verdict["sureness"].startswith("judged by the bounds of the task, on 60")
    assert refused.verdict["nearest_bound"]["metric"] == "probability_distance"
    few = Evidence(sources=6, sure=0, sure_noun="sure inputs", sure_needed=100)
    undecided = choose(run, samples, rule=Rule(IMPOSSIBLE, None, few))
    assert undecided.verdict["verdict"] == "undecided"
    assert undecided.verdict["sureness"].endswith(
        "need 44 more test media and 100 more sure inputs"
    )
    assert undecided.reason.endswith(undecided.verdict["advice"])
    fix_timings(monkeypatch, 10, 10, 10)  # more media make no graph faster
    assert choose(run, samples, rule=Rule(IMPOSSIBLE, None, few)).verdict["verdict"] == "refused"
    assert choose(run, samples, rule=Rule(ANY)).verdict["verdict"] == "unjudged"


def test_a_large_channel_is_repaired_by_equalization(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    fix_timings(monkeypatch, 10, 5)
    path = write(nets.loaded(nets.stretched(nets.convolutions(), layer=2)))
    samples = nets.sample_sets()
    # the whole graph in integer, without equalization, is outside the tolerance
    assert float(total_variations(samples, path).mean()) > 0.02

    choice = choose_for(path, CLOSE)
    assert choice.int8 is not None
    best = choice.candidates[1]
    assert best["objections"] == []
    assert best["fidelity"]["probability_distance"] <= 0.01
    assert best["integer_operators"] > 0
    assert best["equalised"]
    assert choice.settings["float_nodes"] == []


def test_a_large_channel_is_repaired_in_float_where_equalization_cannot(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    fix_timings(monkeypatch, 10, 5)
    monkeypatch.setattr(quantizer_module, "layer_pairs", lambda model: [])
    path = write(nets.loaded(nets.stretched(nets.convolutions(), layer=2)))
    choice = choose_for(path, CLOSE)
    assert choice.int8 is not None
    # the large tensor lies between two layers, and is in float only where both are
    float_nodes = choice.settings["float_nodes"]
    assert 2 <= sum("Conv" in name for name in float_nodes) <= 3
    all_integer = next(record for record in choice.candidates if record.get("float_nodes") == 0)
    assert "probability_distance" in all_integer["objections"][0]
    assert choice.candidates[1]["fidelity"]["probability_distance"] <= 0.01


def test_a_healthy_net_needs_no_float_layers(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    fix_timings(monkeypatch, 10, 5)
    path = write(nets.loaded(nets.convolutions()))
    choice = choose_for(path, Tolerance(at_most={"probability_distance": 0.05}))
    assert choice.settings["float_nodes"] == []


def total_variations(samples: SampleSets, path: Path) -> NDArray[np.float64]:
    """Quantize a whole graph; return the distance of its probabilities for each sample."""
    quantized = path.with_name("all-integer.onnx")
    quantizer = Quantizer(onnx.load(path), samples.calibration)
    onnx.save(quantizer.quantize(QuantizationConfig(all_op_types())), quantized)
    p, q = (run_samples(file, samples.validation)["probabilities"] for file in (path, quantized))
    distances: NDArray[np.float64] = np.abs(p - q).sum(axis=1) / 2
    return distances


def spoil_quantizer(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[onnx.GraphProto, onnx.TensorProto], None]
) -> None:
    """Let the quantizer return the float graph with its weights changed, for every setting."""

    def quantize(quantizer: Quantizer, config: QuantizationConfig) -> onnx.ModelProto:
        model = deepcopy(quantizer._model)
        for tensor in list(model.graph.initializer):
            if len(tensor.dims) > 1 and not tensor.name.startswith(PREFIX):
                change(model.graph, tensor)
        return model

    monkeypatch.setattr(Quantizer, "quantize", quantize)


def store_in_int8(graph: onnx.GraphProto, tensor: onnx.TensorProto) -> None:
    weight = numpy_helper.to_array(tensor)
    name, scale = tensor.name, np.array(np.abs(weight).max() / 127, np.float32)
    tensor.CopyFrom(numpy_helper.from_array(np.rint(weight / scale).astype(np.int8), f"{name}_q"))
    graph.initializer.append(numpy_helper.from_array(scale, f"{name}_scale"))
    inputs = [f"{name}_q", f"{name}_scale"]
    graph.node.insert(0, helper.make_node("DequantizeLinear", inputs, [name], f"{name}_float"))


def set_to_zero(graph: onnx.GraphProto, tensor: onnx.TensorProto) -> None:
    tensor.CopyFrom(numpy_helper.from_array(0 * numpy_helper.to_array(tensor), tensor.name))


def test_int8_weights_that_compute_in_float_are_refused(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fix_timings(monkeypatch, 10, 5)
    spoil_quantizer(monkeypatch, store_in_int8)
    choice = choose_for(small, CLOSE)
    assert choice.int8 is None
    assert objections(choice) == [["onnxruntime computes all of it in float"]] * 2
    with pytest.raises(ConvertError, match="computes all of it in float"):
        choose_for(small, CLOSE, precision="int8")


def test_a_constant_mask_is_refused(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch import nn

    fix_timings(monkeypatch, 10, 5)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 1), nn.Sigmoid())
    path = write(replace(nets.loaded(net), head=StretchedAlpha(), labels=()))
    spoil_quantizer(monkeypatch, set_to_zero)
    choice = choose_for(path, Tolerance(at_most={"collapsed_fraction": 0.0}))
    assert choice.int8 is None
    assert all("collapsed_fraction 1.0000 > 0" in texts for texts in objections(choice))


def test_a_graph_accurate_only_on_the_samples_of_the_search_is_refused(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fix_timings(monkeypatch, 10, 5)
    monkeypatch.setattr(candidates, "GRAPHS", RESERVED_GRAPHS + 1)  # no budget for a better graph
    samples = nets.sample_sets(validation=12)
    order = total_variations(samples, small).argsort()
    best, worst = (samples.validation[order[index]] for index in (0, -1))
    samples = replace(samples, validation=(best,), test=(worst,))
    candidate = run_and_choose(small, samples, tolerance=ANY).candidates[1]
    on_validation, on_test = (
        candidate[field]["probability_distance"] for field in ("searched_fidelity", "fidelity")
    )
    assert 2 * on_validation < on_test
    # between the two, and so wide that the search is content with half of it
    bound = (2 * on_validation + on_test) / 2
    tolerance = Tolerance(at_most={"probability_distance": bound})
    (first, *_) = objections(run_and_choose(small, samples, tolerance=tolerance))
    assert len(first) == 1
    assert first[0].endswith("on inputs that the search did not see")


def test_all_measured_graphs_are_recorded_within_the_budget(write: Write) -> None:
    path = write(nets.loaded(nets.convolutions(layers=4)))
    choice = choose_for(path, IMPOSSIBLE)
    records = [record for record in choice.candidates if record["name"] != "float"]
    assert len(records) <= GRAPHS
    assert len({str(record["name"]) + str(record["fidelity"]) for record in records}) > 10
    for record in records:
        assert record["milliseconds"] > 0
        assert record["size_bytes"] > 0
    timed = [record for record in choice.candidates if not record.get("searched")]
    assert all(record["peak_bytes"] > 100_000 for record in timed)


def test_thorough_searches_every_operator_set(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    fix_timings(monkeypatch, 10, 5)
    monkeypatch.setattr(quantizer_module, "layer_pairs", lambda model: [])
    path = write(nets.loaded(nets.stretched(nets.convolutions(layers=4), layer=1)))
    choices = [choose_for(path, CLOSE, effort=effort) for effort in EFFORTS]
    default, thorough = (choice.candidates[2]["graphs_tried"] for choice in choices)
    assert default <= 2  # the float layers of the first set, and none
    assert thorough > 5

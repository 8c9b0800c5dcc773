"""The gate, broken on purpose: each graph that must not serve is refused, or repaired, and why."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from convert.errors import ConvertError, VerificationError
from convert.export.numerics import PREFIX, StretchedAlpha
from convert.quantize import quantizer as quantize
from convert.quantize.choose import Choice
from convert.quantize.quantizer import Quantizer, Setting, all_op_types
from convert.quantize.search import candidates as climb
from convert.quantize.search.candidates import GRAPHS, Effort
from convert.recipe import Loaded, Tolerance
from convert.samples.sets import SampleSets
from convert.verify.parity import run_rows
from convert.verify.peak_memory import peak_bytes
from tests.convert.support import nets
from tests.convert.support.parity import run_and_choose, write_float_graph
from tests.convert.support.quantized import fix_timings

CLOSE = Tolerance(at_most={"probability_distance": 0.01})
EFFORTS: tuple[Effort, ...] = ("default", "thorough")
NEVER = Tolerance(at_most={"probability_distance": -1})


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is no float graph takes half the time: nothing is refused as too slow."""
    fix_timings(monkeypatch, 10, 5)


def graph(loaded: Loaded, directory: Path) -> Path:
    write_float_graph(loaded, directory / "exported.onnx")
    return directory / "exported.onnx"


def made(monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    """Whatever the setting, the quantizer gives the float graph with its weights changed."""

    def quantized(quantizer: Quantizer, setting: Setting) -> onnx.ModelProto:
        model = onnx.ModelProto()
        model.CopyFrom(quantizer._model)
        for tensor in list(model.graph.initializer):
            if len(tensor.dims) > 1 and not tensor.name.startswith(PREFIX):
                change(model.graph, tensor)
        return model

    monkeypatch.setattr(Quantizer, "quantize", quantized)


def stored_in_int8(owner: onnx.GraphProto, tensor: onnx.TensorProto) -> None:
    weight = numpy_helper.to_array(tensor)
    name, scale = tensor.name, np.array(np.abs(weight).max() / 127, np.float32)
    tensor.CopyFrom(numpy_helper.from_array(np.rint(weight / scale).astype(np.int8), f"{name}_q"))
    owner.initializer.append(numpy_helper.from_array(scale, f"{name}_scale"))
    inputs = [f"{name}_q", f"{name}_scale"]
    owner.node.insert(0, helper.make_node("DequantizeLinear", inputs, [name], f"{name}_float"))


def zeroed(owner: onnx.GraphProto, tensor: onnx.TensorProto) -> None:
    del owner
    tensor.CopyFrom(numpy_helper.from_array(0 * numpy_helper.to_array(tensor), tensor.name))


def objections(choice: Choice) -> list[list[str]]:
    return [each["objections"] for each in choice.candidates if "integer_operators" in each]


def test_weights_in_int8_that_run_in_float_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = graph(nets.loaded(nets.convolutions(layers=2)), tmp_path)
    made(monkeypatch, stored_in_int8)
    choice = run_and_choose(path, nets.media(), tolerance=CLOSE)
    assert choice.int8 is None
    assert objections(choice) == [["onnxruntime computes all of it in float"]] * 2
    with pytest.raises(ConvertError, match="computes all of it in float"):
        run_and_choose(path, nets.media(), tolerance=CLOSE, precision="int8")


def test_a_mask_that_is_everywhere_the_same_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch import nn

    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 1), nn.Sigmoid())
    path = graph(replace(nets.loaded(net), head=StretchedAlpha(), labels=()), tmp_path)
    made(monkeypatch, zeroed)
    tolerance = Tolerance(at_most={"collapsed_fraction": 0.0})
    choice = run_and_choose(path, nets.media(), tolerance=tolerance)
    assert choice.int8 is None
    assert all("collapsed_fraction 1.0000 > 0.0" in each for each in objections(choice))


def test_a_large_channel_is_repaired_in_float_where_channels_cannot_be_made_equal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantize, "pairs", lambda model: [])
    path = graph(nets.loaded(nets.stretched(nets.convolutions(), layer=2)), tmp_path)
    choice = run_and_choose(path, nets.media(), tolerance=CLOSE)
    assert choice.int8 is not None
    kept = choice.settings["float_nodes"]
    # what is too large lies between two layers, and is in float only where both are
    assert 2 <= sum("Conv" in name for name in kept) <= 3
    whole = next(each for each in choice.candidates if each.get("float_nodes") == 0)
    assert "probability_distance" in whole["objections"][0]
    assert choice.candidates[1]["fidelity"]["probability_distance"] <= 0.01


def distances(media: SampleSets, path: Path) -> NDArray[np.float64]:
    """Of each evaluation sample alone, everything integer."""
    beside = path.with_name("all-integer.onnx")
    quantizer = Quantizer(onnx.load(path), media.calibration)
    onnx.save(quantizer.quantize(Setting(all_op_types())), beside)
    expected, found = (run_rows(each, media.validation)["probabilities"] for each in (path, beside))
    apart: NDArray[np.float64] = np.abs(expected - found).sum(axis=1)
    return apart


def test_what_only_the_inputs_of_the_search_find_close_enough_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(climb, "GRAPHS", climb.RESERVED + 1)  # nothing better is looked for
    path = graph(nets.loaded(nets.convolutions(layers=2)), tmp_path)
    media = nets.media(validation=12)
    order = distances(media, path).argsort()
    best, worst = (media.validation[order[index]] for index in (0, -1))
    media = replace(media, validation=(best,), test=(worst,))
    found = run_and_choose(path, media, tolerance=Tolerance()).candidates[1]
    seen, unseen = (
        found[each]["probability_distance"] for each in ("searched_fidelity", "fidelity")
    )
    assert 2 * seen < unseen  # half of the tolerance, and more than all of it
    asked = Tolerance(at_most={"probability_distance": (2 * seen + unseen) / 2})
    (first, *_) = objections(run_and_choose(path, media, tolerance=asked))
    assert len(first) == 1
    assert first[0].endswith("on inputs that the search did not see")


def test_no_more_graphs_than_the_budget_and_all_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # timed and measured as always
    path = graph(nets.loaded(nets.convolutions(layers=4)), tmp_path)
    choice = run_and_choose(path, nets.media(), tolerance=NEVER)
    tried = [each for each in choice.candidates if each["name"] != "float"]
    assert len(tried) <= GRAPHS
    assert len({str(each["name"]) + str(each["fidelity"]) for each in tried}) > 10
    for each in tried:
        assert each["milliseconds"] > 0
        assert each["size_bytes"] > 0
    judged = [each for each in choice.candidates if not each.get("searched")]
    assert all(each["peak_bytes"] > 100_000 for each in judged)


def test_thorough_searches_every_rung(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantize, "pairs", lambda model: [])
    path = graph(nets.loaded(nets.stretched(nets.convolutions(layers=4), layer=1)), tmp_path)
    choices = [
        run_and_choose(path, nets.media(), tolerance=CLOSE, effort=effort) for effort in EFFORTS
    ]
    default, thorough = (choice.candidates[2]["graphs_tried"] for choice in choices)
    assert default <= 2  # what the first rung had to leave in float, and nothing
    assert thorough > 5


def test_peak_memory_grows_with_the_weights(tmp_path: Path) -> None:
    peaks = []
    for width in (8, 512):
        directory = tmp_path / str(width)
        directory.mkdir()
        path = graph(nets.loaded(nets.convolutions(layers=3, width=width)), directory)
        peaks.append(peak_bytes(path, nets.media().validation[0]))
    # two layers of 512 x 512 x 9 float32 are 19 MB
    assert peaks[1] - peaks[0] > 15_000_000


def test_a_graph_that_does_not_run_alone_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no graph")
    with pytest.raises(VerificationError, match=r"broken\.onnx in a process of its own: .*refused"):
        peak_bytes(broken, nets.media().validation[0])

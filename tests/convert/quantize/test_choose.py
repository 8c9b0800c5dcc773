from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from convert.errors import ConvertError
from convert.quantize.choose import Choice
from convert.quantize.quantizer import Quantizer, Setting, all_op_types
from convert.recipe import Loaded, Tolerance
from convert.verify.parity import run_rows
from tests.convert.support import nets
from tests.convert.support.parity import run_and_choose, write_float_graph
from tests.convert.support.quantized import fix_timings

CLOSE = Tolerance(at_most={"probability_distance": 0.01})
ANY = Tolerance()
NEVER = Tolerance(at_most={"probability_distance": -1})


@pytest.fixture
def graph(tmp_path: Path) -> Callable[[Loaded], Path]:
    def write(loaded: Loaded) -> Path:
        write_float_graph(loaded, tmp_path / "exported.onnx")
        return tmp_path / "exported.onnx"

    return write


def chosen(path: Path, tolerance: Tolerance, **options: Any) -> Choice:
    return run_and_choose(path, nets.media(), tolerance=tolerance, **options)


def test_float_tries_nothing(graph: Callable[[Loaded], Path]) -> None:
    path = graph(nets.loaded(nets.convolutions(layers=1)))
    choice = chosen(path, CLOSE, precision="float")
    assert (choice.int8, choice.candidates) == (None, ())
    assert choice.settings == {"precision": "float"}


def test_faster_and_close_is_packaged(
    graph: Callable[[Loaded], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    fix_timings(
        monkeypatch, 10, 5, 4.9
    )  # the second is not faster by the 5 % that a challenger needs
    choice = chosen(graph(nets.loaded(nets.convolutions(layers=2))), ANY)
    assert choice.int8 is not None
    assert choice.settings["operators"] == "all operators"
    assert [each["name"] for each in choice.candidates if not each.get("searched")] == [
        "float",
        "all operators",
        "layers only",
    ]


def test_challenger_wins_by_more_than_noise(
    graph: Callable[[Loaded], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    fix_timings(monkeypatch, 10, 5, 4)
    choice = chosen(graph(nets.loaded(nets.convolutions(layers=2))), ANY)
    assert choice.settings["operators"] == "layers only"


def test_slower_int8_is_not_packaged(
    graph: Callable[[Loaded], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    fix_timings(monkeypatch, 10, 11, 9.9)  # 1.01 x is noise, no reason
    choice = chosen(graph(nets.loaded(nets.convolutions(layers=2))), ANY)
    assert choice.int8 is None
    assert "0.91 x the speed of float < 1.05" in choice.reason
    assert "1.01 x the speed of float < 1.05" in choice.reason


def test_int8_that_cannot_qualify_is_refused_with_the_objections(
    graph: Callable[[Loaded], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    fix_timings(monkeypatch, 10, 5, 5)
    path = graph(nets.loaded(nets.convolutions(layers=2)))
    with pytest.raises(ConvertError) as caught:
        chosen(path, NEVER, precision="int8")
    assert "INT8 was asked for and does not qualify" in str(caught.value)
    assert "INT8 of all operators: probability_distance" in str(caught.value)
    assert "> -1" in str(caught.value)
    choice = chosen(path, NEVER)
    assert choice.int8 is None
    assert "probability_distance" in choice.reason


def test_pathological_range_is_repaired_by_equal_channels(
    graph: Callable[[Loaded], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    fix_timings(monkeypatch, 10, 5, 5)
    loaded = nets.loaded(nets.stretched(nets.convolutions(), layer=2))
    path = graph(loaded)
    media = nets.media()
    quantizer = Quantizer(onnx.load(path), media.calibration)
    naive = path.with_name("naive.onnx")
    onnx.save(quantizer.quantize(Setting(all_op_types())), naive)
    reference = run_rows(path, media.validation)["probabilities"]
    distance = abs(run_rows(naive, media.validation)["probabilities"] - reference).sum(1).mean() / 2
    assert distance > 0.02  # the whole graph in integer is out of the tolerance

    choice = chosen(path, CLOSE)
    assert choice.int8 is not None
    first = choice.candidates[1]
    assert first["objections"] == []
    assert first["fidelity"]["probability_distance"] <= 0.01
    assert first["integer_operators"] > 0
    assert first["equalised"]  # nothing in float is needed then
    assert choice.settings["float_nodes"] == []


def test_search_needs_nothing_in_float_for_a_healthy_net(
    graph: Callable[[Loaded], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    fix_timings(monkeypatch, 10, 5, 5)
    choice = chosen(
        graph(nets.loaded(nets.convolutions())), Tolerance(at_most={"probability_distance": 0.05})
    )
    assert choice.settings["float_nodes"] == []

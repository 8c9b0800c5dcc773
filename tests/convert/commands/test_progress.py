"""Tests of the lines that `convert run` prints while it works."""

import io
import os
import pty
import time

import pytest

from convert.commands.progress import Progress, ProgressDisplay
from convert.metrics import Fidelity
from convert.quantize.quantizer import QuantizationConfig, all_op_types
from convert.quantize.search.float_layers import Measurement, Trial
from convert.quantize.search.status import SearchStatus, search_status
from convert.recipe import Tolerance

STATUS = SearchStatus(7, 26, "iou_mean 0.9870", 2.41, qualifies=True)


class Clock:
    """Seconds that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_line_names_model_stage_search_and_what_is_left() -> None:
    clock = Clock()
    progress = Progress(3, clock)
    assert progress.line() == ""
    progress.update("a", "load")
    clock.now += 4
    assert progress.line() == "a: load for 4 s; model 1 of 3, 2 left, 4 s in all"
    progress.update("b", "load")
    progress.update("b", "quantize")
    progress.update("b", STATUS)
    clock.now += 61
    assert progress.line() == (
        "b: quantize for 61 s; candidate 7 of at most 26; best: iou_mean 0.9870, "
        "2.4 x the speed of float; model 2 of 3, 1 left, 65 s in all"
    )
    progress.update("b", "verify")  # the search has ended
    assert "candidate" not in progress.line()


def trial(loss: float, milliseconds: float, *violations: str) -> Trial:
    fidelity = Fidelity({"iou_mean": 1 - loss, "mae": loss}, loss)
    config = QuantizationConfig(all_op_types())
    return Trial(config, Measurement(fidelity, milliseconds, 1), violations)


def test_status_shows_the_best_graph_that_keeps_the_tolerance() -> None:
    tolerance = Tolerance(at_most={"mae": 0.05})
    trials = [trial(0.01, 4.0, "too slow"), trial(0.04, 5.0), trial(0.03, 2.5)]
    status = search_status(trials, 30, tolerance, float_ms=10.0)
    assert (status.graphs, status.budget, status.qualifies) == (3, 30, True)
    assert (status.metric, status.speedup) == ("mae 0.0300", 4.0)
    alone = search_status(trials[:1], 30, Tolerance(), float_ms=10.0)
    assert str(alone) == (
        "candidate 1 of at most 30; best: iou_mean 0.9900, 2.5 x the speed of float, "
        "not accurate enough yet"
    )


def wait_for(text: str, stream: io.StringIO, limit_s: float = 20.0) -> str:
    deadline = time.monotonic() + limit_s
    while text not in stream.getvalue():
        assert time.monotonic() < deadline, stream.getvalue()
        time.sleep(0.01)
    return stream.getvalue()


def test_file_gets_each_stage_and_lines_between(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    with ProgressDisplay(1, stream=stream, period_s=0.02) as display:
        display.report("a", "quantize")
        display.report("a", STATUS)
        lines = wait_for("candidate 7", stream).splitlines()
    assert lines[0] == "a: quantize"
    assert lines[-1].startswith("a: quantize for 0 s; candidate 7 of at most 26; best: iou_mean")
    assert capsys.readouterr().out == ""


def test_terminal_gets_a_line_that_changes() -> None:
    pytest.importorskip("rich")
    controller, terminal = pty.openpty()
    with open(terminal, "w", encoding="utf-8") as stream:
        with ProgressDisplay(1, stream=stream) as display:
            display.report("a", "quantize")
            display.report("a", STATUS)
            time.sleep(0.5)  # rich repaints a few times a second
        os.set_blocking(controller, False)
        output = os.read(controller, 65536).decode()
    os.close(controller)
    assert "a: quantize\r\n" in output
    assert "candidate 7 of at most 26" in output

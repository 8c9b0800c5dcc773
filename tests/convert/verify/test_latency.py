"""Latencies: graphs run in turns, on the thread's own clock, and again where it is close."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from convert.verify import latency
from convert.verify.latency import REPETITIONS, least_ms, run_and_time

FLOAT, INT8 = Path("float.onnx"), Path("int8.onnx")


class BusyMachine:
    """A machine on which the graphs take given times, and other work takes the CPU from them.

    Attributes:
        runs: names of the graphs, in the order of their runs.
        loads: names of the graphs, in the order of their loading.
        read: the graph that ran last, each time that the thread's clock is read.
    """

    def __init__(self, patch: pytest.MonkeyPatch, cpu_ms: dict[str, list[float]]) -> None:
        """Replace sessions and clocks.

        Args:
            patch: undoes it after the test.
            cpu_ms: processor time of the first run of a graph, of the second and so on; the last
                value stays.
        """
        self.cpu_ms = cpu_ms
        self.runs: list[str] = []
        self.loads: list[str] = []
        self.read: list[str] = []
        self._cpu_s = self._wall_s = 0.0
        patch.setattr(latency, "Session", self._load)
        patch.setattr(time, "thread_time", self._thread_time)
        patch.setattr(time, "perf_counter", lambda: self._wall_s)
        patch.setattr(time, "monotonic", lambda: self._wall_s)

    def _thread_time(self) -> float:
        self.read.append(self.runs[-1] if self.runs else "")
        return self._cpu_s

    def _load(self, path: Path, options: Any) -> Any:
        machine, name = self, path.stem
        assert options.threads == 1  # the clock is that of one thread
        self.loads.append(name)

        class Recorded:
            def run(self, feeds: object) -> dict[str, Any]:
                times_ms = machine.cpu_ms[name]
                own_ms = times_ms[min(machine.runs.count(name), len(times_ms) - 1)]
                machine.runs.append(name)
                machine._cpu_s += own_ms / 1000
                # INT8 waits for the CPU ten times as long as it computes
                machine._wall_s += own_ms / 1000 * (11 if name == "int8" else 1)
                return {}

        return Recorded()


def test_each_timed_run_follows_a_run_of_the_same_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = BusyMachine(monkeypatch, {"float": [2.0], "int8": [1.0]})
    least_ms([FLOAT, INT8], {})
    turns = machine.runs[2 * latency.WARM_UP_RUNS :]
    assert turns == ["float", "float", "int8", "int8"] * (len(turns) // 4)
    # the clock is read before and after each timed run, both times after a run of its own graph
    assert machine.read[1:5] == ["float", "float", "int8", "int8"]


def test_waiting_for_the_cpu_does_not_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    BusyMachine(monkeypatch, {"float": [20.0], "int8": [10.0]})
    assert least_ms([FLOAT, INT8], {}) == pytest.approx([20, 10])  # 20 and 110 by the wall clock


def test_disturbed_runs_do_not_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    # all runs of INT8 but one lose their caches to other work
    disturbed = [10.0 if number == 9 else 30.0 for number in range(100)]
    BusyMachine(monkeypatch, {"float": [20.0], "int8": disturbed})
    assert least_ms([FLOAT, INT8], {}) == pytest.approx([20, 10])


def test_a_close_ratio_is_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    once = BusyMachine(monkeypatch, {"float": [400.0], "int8": [100.0]})
    least_ms([FLOAT, INT8], {}, is_close=lambda times: times[0] / times[1] < 1.1)
    assert once.loads == ["float", "int8"]
    # the disturbance of INT8 ends in the second measurement
    times = {"float": [400.0], "int8": [380.0] * (2 * latency.MIN_ROUNDS + 4) + [100.0]}
    twice = BusyMachine(monkeypatch, times)
    seen: list[Sequence[float]] = []

    def is_close(least: Sequence[float]) -> bool:
        seen.append(list(least))
        return least[0] / least[1] < 1.1

    assert least_ms([FLOAT, INT8], {}, is_close=is_close) == pytest.approx([400, 100])
    assert twice.loads == ["float", "int8"] * 2
    assert seen == [pytest.approx([400, 380]), pytest.approx([400, 100])]


def test_repetitions_end(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = BusyMachine(monkeypatch, {"float": [400.0], "int8": [400.0]})
    least_ms([FLOAT, INT8], {}, is_close=lambda times: True)
    assert machine.loads == ["float", "int8"] * REPETITIONS


def test_a_first_estimate_does_not_count_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    BusyMachine(monkeypatch, {"int8": [10.0]})
    monkeypatch.setattr(latency, "CONCURRENT_RUNS", 1)  # the clock of this test is one for all
    monkeypatch.setattr(latency, "collate", lambda outputs: {})
    assert run_and_time(INT8, [{}, {}])[1] == pytest.approx(10)

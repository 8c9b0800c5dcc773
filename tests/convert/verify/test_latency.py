"""Latencies: graphs run in turns, and each timed run follows one of the same graph."""

import time
from pathlib import Path
from typing import Any

import pytest

from convert.verify import latency
from convert.verify.latency import medians_ms


def test_each_timed_run_follows_a_run_of_the_same_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[str] = []
    clock: list[str] = []

    class Recorded:
        def __init__(self, path: Path, options: object) -> None:
            self.name = path.stem

        def run(self, feeds: object) -> dict[str, Any]:
            runs.append(self.name)
            return {}

    def perf_counter() -> float:
        clock.append(runs[-1])
        return float(len(clock))

    monkeypatch.setattr(latency, "Session", Recorded)
    monkeypatch.setattr(time, "perf_counter", perf_counter)
    names = ["float", "int8"]
    assert len(medians_ms([Path(f"{name}.onnx") for name in names], {}, threads=1)) == 2
    turns = runs[2 * latency.WARM_UP_RUNS :]
    assert turns == ["float", "float", "int8", "int8"] * (len(turns) // 4)
    # the clock is read before and after each timed run, both times after a run of its own graph
    assert clock[1:5] == ["float", "float", "int8", "int8"]

"""Times by batch size: the sizes take turns, and end where a run takes too long or too much."""

import time
from pathlib import Path

import numpy as np
import pytest

from convert.verify import batch_times
from convert.verify.batch_times import batch_times_ms
from runtime.engine.session import Feeds

FEEDS = {"x": np.ones((1, 2), np.float32)}


class Machine:
    """A graph whose runs take the seconds and the memory that the test says."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        *,
        row_s: float = 0.001,
        row_mib: float = 0.0,
        other_s: float = 0.0,  # of other work, in six of seven runs
    ) -> None:
        self.sizes: list[int] = []
        self._now_s, self._peak_mib = 0.0, 100.0
        self._row_s, self._row_mib, self._other_s = row_s, row_mib, other_s
        monkeypatch.setattr(batch_times, "Session", lambda path, options: self)
        monkeypatch.setattr(batch_times, "peak_memory_mib", lambda: self._peak_mib)
        monkeypatch.setattr(time, "perf_counter", lambda: self._now_s)
        monkeypatch.setattr(time, "thread_time", lambda: self._now_s)

    def run(self, feeds: Feeds) -> None:
        rows = len(feeds["x"])
        self.sizes.append(rows)
        self._now_s += rows * self._row_s + (self._other_s if len(self.sizes) % 7 else 0.0)
        self._peak_mib = max(self._peak_mib, 100 + rows * self._row_mib)


def test_the_sizes_take_turns_and_the_shortest_time_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, other_s=0.01)
    times = batch_times_ms(Path("a.onnx"), FEEDS)
    warm_up = 1 + len(batch_times.SIZES)
    turns = machine.sizes[warm_up:]
    turn = [1] * 4 + [2] * 2 + [4, 8, 16, 32]
    assert turns == turn * (len(turns) // len(turn))
    assert times == pytest.approx({rows: float(rows) for rows in batch_times.SIZES})


def test_no_batch_takes_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, row_s=0.2)
    assert list(batch_times_ms(Path("a.onnx"), FEEDS)) == [1, 2, 4]
    assert max(machine.sizes) == 4


def test_no_batch_takes_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, row_mib=100)
    assert list(batch_times_ms(Path("a.onnx"), FEEDS)) == [1, 2, 4, 8]
    assert max(machine.sizes) == 8

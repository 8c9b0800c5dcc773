"""The memory of a server and of its decoders, and the most of it, sampled (Linux only)."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.server import MEGABYTE
from runtime.engine.memory import anonymous_bytes, process_memory

PERIOD_S = 0.02


@dataclass(frozen=True, slots=True)
class State:
    """The memory of all processes of a server in one state, in MB (10^6 bytes)."""

    name: str
    anonymous_mb: float  # comes from no file: what a cgroup v1 counts as total_rss
    pss_mb: float  # with the server's share of the pages of files
    rss_mb: float  # with all of each page that processes share
    peak_mb: float  # most anonymous memory since the state before


@dataclass(frozen=True, slots=True)
class Point:
    """The memory at a time."""

    seconds: float  # since the watch began
    anonymous_mb: float


@dataclass(frozen=True, slots=True)
class Event:
    """The end of a part of the load."""

    seconds: float  # since the watch began
    name: str


class Watch:
    """Samples the anonymous memory of a server."""

    def __init__(self, pid: int) -> None:
        """Begin with the memory of now."""
        self._pid = pid
        self._peak_bytes = 0
        self._start_s = time.perf_counter()
        self.points: list[Point] = []  # every sample, by time
        self.events: list[Event] = []  # every state that was asked for
        self.sample()

    def sample(self) -> None:
        """Look at the memory."""
        now_bytes = anonymous_bytes(process_tree(self._pid))
        self._peak_bytes = max(self._peak_bytes, now_bytes)
        self.points.append(Point(self._seconds(), now_bytes / MEGABYTE))

    def state(self, name: str) -> State:
        """Return the memory of now; the peak begins anew."""
        self.sample()
        self.events.append(Event(self._seconds(), name))
        memories = [process_memory(pid) for pid in process_tree(self._pid)]
        alive = [memory for memory in memories if memory is not None]
        peak_bytes, self._peak_bytes = self._peak_bytes, 0
        return State(
            name,
            sum(memory.anonymous_bytes for memory in alive) / MEGABYTE,
            sum(memory.pss_bytes for memory in alive) / MEGABYTE,
            sum(memory.rss_bytes for memory in alive) / MEGABYTE,
            peak_bytes / MEGABYTE,
        )

    def _seconds(self) -> float:
        return time.perf_counter() - self._start_s


@contextmanager
def watching(pid: int) -> Iterator[Watch]:
    """Sample the memory of a process and its children while the block runs."""
    watch, ended = Watch(pid), threading.Event()

    def sample() -> None:
        while not ended.wait(PERIOD_S):
            watch.sample()

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        ended.set()
        thread.join()


def process_tree(pid: int) -> list[int]:
    """Return a process and all its descendants; those that end meanwhile are left out."""
    pids, waiting = list[int](), [pid]
    while waiting:
        current = waiting.pop()
        pids.append(current)
        for path in Path(f"/proc/{current}/task").glob("*/children"):
            try:
                waiting += map(int, path.read_text(encoding="ascii").split())
            except OSError:
                continue
    return pids

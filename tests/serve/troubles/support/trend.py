"""The anonymous memory of a server over time, and its slope (Linux only)."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from tests.serve.troubles.support.memory import anonymous_mb


@dataclass(slots=True)
class Trace:
    """Sizes in MB, at times in seconds since the begin."""

    times_s: list[float] = field(default_factory=list)
    sizes_mb: list[float] = field(default_factory=list)

    def first(self, share: float) -> "Trace":
        """Return what was sampled in the first share of the time."""
        index = self._index(share)
        return Trace(self.times_s[:index], self.sizes_mb[:index])

    def last(self, share: float) -> "Trace":
        """Return what was sampled in the last share of the time."""
        index = self._index(1 - share)
        return Trace(self.times_s[index:], self.sizes_mb[index:])

    def _index(self, share: float) -> int:
        end = self.times_s[-1] if self.times_s else 0.0
        return int(np.searchsorted(self.times_s, end * share))

    @property
    def slope_mb_per_s(self) -> float:
        """Return the median of the slopes between all pairs of samples (Theil-Sen).

        A few loads and unloads do not change it; steady growth does.
        """
        times, sizes = np.array(self.times_s), np.array(self.sizes_mb)
        if len(times) < 2:
            return 0.0
        later, earlier = np.tril_indices(len(times), -1)
        return float(np.median((sizes[later] - sizes[earlier]) / (times[later] - times[earlier])))

    @property
    def median_mb(self) -> float:
        """Return the median size."""
        return float(np.median(self.sizes_mb)) if self.sizes_mb else 0.0

    @property
    def highest_mb(self) -> float:
        """Return the highest size."""
        return max(self.sizes_mb, default=0.0)


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of a server over time."""

    process: Trace = field(default_factory=Trace)  # without its children
    tree: Trace = field(default_factory=Trace)  # rises and falls with the number of decoders


@contextmanager
def traced(pid: int, *, period_s: float) -> Iterator[Memory]:
    """Sample the memory of a process, and with all its children, while the block runs."""
    memory, ended, begin = Memory(), threading.Event(), time.monotonic()

    def sample() -> None:
        while not ended.wait(period_s):
            sizes_mb = anonymous_mb(pid)
            for trace, size_mb in ((memory.process, sizes_mb[0]), (memory.tree, sum(sizes_mb))):
                trace.times_s.append(time.monotonic() - begin)
                trace.sizes_mb.append(size_mb)

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield memory
    finally:
        ended.set()
        thread.join()

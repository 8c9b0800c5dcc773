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
    """Memory of a process and its children, in MB, at times in seconds since the begin."""

    times_s: list[float] = field(default_factory=list)
    sizes_mb: list[float] = field(default_factory=list)

    def last(self, share: float) -> "Trace":
        """Return what was sampled in the last share of the time."""
        end = self.times_s[-1] if self.times_s else 0.0
        first = np.searchsorted(self.times_s, end * (1 - share))
        return Trace(self.times_s[first:], self.sizes_mb[first:])

    @property
    def slope_mb_per_s(self) -> float:
        """Return the median of the slopes between all pairs of samples (Theil-Sen).

        A few loads, unloads or decoders that begin do not change it; steady growth does.
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


@contextmanager
def traced(pid: int, *, period_s: float) -> Iterator[Trace]:
    """Sample the memory of a process and all its children while the block runs."""
    trace, ended, begin = Trace(), threading.Event(), time.monotonic()

    def sample() -> None:
        while not ended.wait(period_s):
            size_mb = anonymous_mb(pid)
            trace.times_s.append(time.monotonic() - begin)
            trace.sizes_mb.append(size_mb)

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield trace
    finally:
        ended.set()
        thread.join()

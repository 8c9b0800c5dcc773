"""The load of a replica, for the autoscaler."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from serve.scheduling.service_times import ServiceTimes


class Busy:
    """Counts the slots that are taken. Safe to use from several threads at once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin idle, at this moment of the clock."""
        self._clock, self._lock = clock, threading.Lock()
        self._running, self._busy_s = 0, 0.0
        self._changed_s = self._read_s = clock()
        self._times = ServiceTimes()

    @property
    def running(self) -> int:
        """Return the slots that are taken now."""
        return self._running

    @contextmanager
    def run(self) -> Iterator[None]:
        """Take a slot during the block."""
        start_s = self._count(+1)
        try:
            yield
        finally:
            self._times.observe("", self._count(-1) - start_s)

    def read(self) -> dict[str, float]:
        """Return the mean of the taken slots since the last reading, and the seconds of a run."""
        now_s = self._count(0)
        with self._lock:
            past_s, busy_s = now_s - self._read_s, self._busy_s
            self._read_s, self._busy_s = now_s, 0.0
        service_s = self._times.expected_s("", lambda: 0.0)
        return {"busy": busy_s / past_s if past_s > 0 else 0.0, "service_s": service_s}

    def _count(self, change: int) -> float:
        with self._lock:
            now_s = self._clock()
            self._busy_s += self._running * (now_s - self._changed_s)
            self._changed_s = now_s
            self._running += change
        return now_s


class CpuTime:
    """The CPUs that this process keeps busy."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.process_time,
    ) -> None:
        """Begin at this moment of both clocks."""
        self._clock, self._cpu = clock, cpu
        self._read_s, self._cpu_s = clock(), cpu()

    def read(self) -> dict[str, float]:
        """Return the CPUs that were busy since the last reading."""
        now_s, cpu_s = self._clock(), self._cpu()
        past_s, used_s = now_s - self._read_s, cpu_s - self._cpu_s
        self._read_s, self._cpu_s = now_s, cpu_s
        return {"busy": used_s / past_s if past_s > 0 else 0.0, "service_s": 0.0}

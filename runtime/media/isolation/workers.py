"""The worker processes of a pool: lent to one request each, and ended once they were idle."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from runtime.engine.cancellation import Cancellation
from runtime.errors import UnavailableError
from runtime.media.isolation.process import WorkerProcess

_POLL_S = 0.02  # between two looks at the cancellation of a request that waits for its turn


class Workers:
    """At most `most` processes, the idle ones included; each idle one ends after `idle_s`."""

    def __init__(self, start: Callable[[], WorkerProcess], *, most: int, idle_s: float) -> None:
        """Begin without processes; the first request starts one."""
        self._start, self._most, self._idle_s = start, most, idle_s
        self._places = threading.Semaphore(most)
        self._idle: list[tuple[float, WorkerProcess]] = []  # with the time of their last answer
        self._timer: threading.Timer | None = None  # runs while a worker is idle
        self._lock = threading.Lock()
        self._closed = False
        self.started = 0  # processes so far
        self.killed = 0  # of them, over a file or from outside

    @contextmanager
    def place(self, cancellation: Cancellation, *, wait_s: float) -> Iterator[None]:
        """Hold one of the `most` places for the block, which then lends one worker at a time.

        Raises:
            CancelledError: the request was cancelled while it waited.
            UnavailableError: no place was free for `wait_s`.
        """
        end = time.monotonic() + wait_s
        while not self._places.acquire(timeout=_POLL_S):
            cancellation.check()
            if time.monotonic() > end:
                raise UnavailableError(
                    f"{self._most} decoder processes are at work, and no more are allowed; "
                    "try again later",
                    reason="decoder",
                )
        try:
            yield
        finally:
            self._places.release()

    @contextmanager
    def lend(self, cancellation: Cancellation, *, fresh: bool) -> Iterator[WorkerProcess]:
        """Lend a worker to the block and take it back afterwards.

        Kill it if an exception leaves the block, because its remaining replies would reach the next
        request; or if the pool was closed meanwhile.

        Args:
            cancellation: kills the worker, which is then lost to the block.
            fresh: end the idle workers and start one. What killed the last one may have killed
                them too, or the system is short of memory.

        Raises:
            CancelledError: the request was cancelled before.
            WorkerLostError: no worker starts.
        """
        if fresh:
            self._end_idle(0.0)
        worker = self._pop_idle() or self._start_one()
        try:
            with cancellation.stopping(worker.stop):
                worker.wait_until_ready()
                yield worker
        except BaseException:
            worker.kill()
            with self._lock:
                self.killed += 1
            raise
        self._take_back(worker)

    def close(self) -> None:
        """Kill the idle workers now, and each busy one as soon as its request ends."""
        with self._lock:
            self._closed = True
        self._end_idle(0.0)

    def _start_one(self) -> WorkerProcess:
        with self._lock:
            self.started += 1
        return self._start()

    def _take_back(self, worker: WorkerProcess) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append((time.monotonic(), worker))
                self._set_timer()
                return
        worker.kill()

    def _pop_idle(self) -> WorkerProcess | None:
        """Return the idle worker that was used last and is alive; None if there is none."""
        with self._lock:
            while self._idle:
                _, worker = self._idle.pop()
                if worker.is_alive():
                    return worker
                worker.kill()
        return None

    def _end_idle(self, idle_s: float) -> None:
        """Kill the workers that were idle for so long, and come back for the others."""
        latest = time.monotonic() - idle_s
        with self._lock:
            ended = [worker for since, worker in self._idle if since <= latest]
            self._idle = [(since, worker) for since, worker in self._idle if since > latest]
            if self._timer:
                self._timer.cancel()
                self._timer = None
            self._set_timer()
        for worker in ended:
            worker.kill()

    def _set_timer(self) -> None:
        """Have the workers that are idle now looked at when the first is due; under the lock."""
        if self._idle and not self._timer:
            due_s = self._idle[0][0] + self._idle_s - time.monotonic()
            self._timer = threading.Timer(max(0.0, due_s), self._end_idle, (self._idle_s,))
            self._timer.daemon = True
            self._timer.start()

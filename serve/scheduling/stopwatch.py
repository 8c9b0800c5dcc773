"""Time the stages of a request, for the header Server-Timing, the log and the metrics."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Stopwatch:
    """The seconds of a request in each stage. One thread at a time uses it.

    A turn of work is decoding until its last run of a graph ends, without the runs; what follows
    is encoding. Work without a run is decoding. Where `decoding` tells which part reads files, the
    rest of the time before a run is preprocessing.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        """Begin with the queue."""
        self._clock = clock
        self._mark = clock()
        self._ran = False
        self._has_decoded = False  # in this turn
        self.queue_s = 0.0  # until a turn began
        self.slot_s = 0.0  # within a turn, until a slot was free for a run
        self.decode_s = 0.0
        self.preprocess_s = 0.0
        self.run_s = 0.0
        self.encode_s = 0.0
        self.elsewhere_s = 0.0  # of the turns: without a slot, or run for others

    def start(self) -> None:
        """End waiting: a turn of work begins."""
        self.queue_s += self._lap()
        self._ran = self._has_decoded = False

    def stop(self) -> None:
        """End the turn; until the next one the request waits."""
        if self._ran:
            self.encode_s += self._lap()
        else:
            self._end_preparation()

    @contextmanager
    def decoding(self) -> Iterator[None]:
        """Count the block as decoding, and what follows it until a run as preprocessing."""
        self._end_preparation()
        try:
            yield
        finally:
            self.decode_s += self._lap()
            self._has_decoded = True

    def wait(self) -> None:
        """End preparing: the turn waits for a slot for its run."""
        self._end_preparation()

    def ready(self) -> None:
        """End the wait for a slot."""
        waited_s = self._lap()
        self.slot_s += waited_s
        self.elsewhere_s += waited_s

    def share(self, run_s: float, fraction: float) -> None:
        """Count what has passed as a run in a batch, and the waits before and after it.

        Args:
            run_s: seconds of the run.
            fraction: of the run that counts for this request.
        """
        passed_s = self._lap()
        run_s = min(run_s, passed_s)
        self.run_s += run_s
        self.slot_s += passed_s - run_s
        self.elsewhere_s += passed_s - run_s * fraction
        self._ran = True

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the block as a run; what came before it in this turn was decoding."""
        self._end_preparation()
        try:
            yield
        finally:
            self.run_s += self._lap()
            self._ran = True

    @property
    def turns_s(self) -> float:
        """Return the seconds of all turns: those in which the request kept a thread."""
        return self.decode_s + self.preprocess_s + self.slot_s + self.run_s + self.encode_s

    @property
    def stages_s(self) -> dict[str, float]:
        """Return the seconds by stage, in the order of a request."""
        return {
            "queue": self.queue_s + self.slot_s,
            "decode": self.decode_s,
            "preprocess": self.preprocess_s,
            "run": self.run_s,
            "postprocess": self.encode_s,
        }

    @property
    def own_s(self) -> float:
        """Return the seconds of a slot that the turns took."""
        return self.turns_s - self.elsewhere_s

    def header(self) -> str:
        """Return the value of Server-Timing: milliseconds by stage."""
        stages = {
            "queue": self.queue_s + self.slot_s,
            "decode": self.decode_s + self.preprocess_s,
            "run": self.run_s,
            "encode": self.encode_s,
        }
        return ", ".join(f"{name};dur={1000 * seconds:.3f}" for name, seconds in stages.items())

    def _end_preparation(self) -> None:
        if self._has_decoded:
            self.preprocess_s += self._lap()
        else:
            self.decode_s += self._lap()

    def _lap(self) -> float:
        """Return the seconds since the last call."""
        mark, self._mark = self._mark, self._clock()
        return self._mark - mark

"""The flag that ends the server. Imports the standard library alone: signals set it early."""

import time
from collections.abc import Callable
from dataclasses import dataclass

Busy = Callable[[], bool]


@dataclass(slots=True)
class Stop:
    """The request to end the server. Signal handlers and other threads set it."""

    clock: Callable[[], float] = time.monotonic
    requested_s: float | None = None  # when, by the clock; None: the server goes on
    is_busy: Busy = lambda: False  # whether jobs run that no connection waits for
    failure: str = ""  # why the server cannot go on; it ends with exit code 1

    @property
    def requested(self) -> bool:
        """Return True if the server shall end."""
        return self.requested_s is not None

    @property
    def reason(self) -> str:
        """Return why the server ends; "" if it does not."""
        return (self.failure or "the server ends") if self.requested else ""

    @property
    def elapsed_s(self) -> float:
        """Return the seconds since the request to end; 0 without one."""
        return 0.0 if self.requested_s is None else self.clock() - self.requested_s

    def request(self) -> None:
        """Ask the server to end; later calls change nothing."""
        if self.requested_s is None:
            self.requested_s = self.clock()

    def fail(self, reason: str) -> None:
        """Ask the server to end at once, because it can answer nothing."""
        self.failure = self.failure or reason
        self.request()

"""Signals set a flag, from the first instant on. Imports nothing that takes time."""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType

from serve.http.stop import Stop

AT_ONCE = 1  # the exit code after a second signal


@dataclass(slots=True)
class Signals:
    """The signals that the process has got."""

    stop: Stop = field(default_factory=Stop)
    hangups: int = 0  # SIGHUP, which does not end the server
    at_once: Callable[[], None] = lambda: None  # called before a second signal ends the process

    def catch(self) -> None:
        """Take SIGTERM, SIGINT and SIGHUP from now on.

        Process 1 of a container has no default handlers: without these it would ignore SIGTERM.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        signal.signal(signal.SIGHUP, self._hang_up)

    def release(self) -> None:
        """Give the signals back: each ends the process."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)

    def _end(self, number: int, frame: FrameType | None) -> None:
        if self.stop.requested:
            self.at_once()
            os._exit(AT_ONCE)
        self.stop.request()

    def _hang_up(self, number: int, frame: FrameType | None) -> None:
        self.hangups += 1  # the event loop logs it: a handler must not wait for a full pipe

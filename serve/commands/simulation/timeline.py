"""The time of a simulation: functions that are called when their moment comes."""

import heapq
import itertools
from collections.abc import Callable


class Timeline:
    """Events in the order of their time, and of their making where times are equal."""

    def __init__(self) -> None:
        """Begin at 0 without events."""
        self.now_s = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def at(self, time_s: float, event: Callable[[], None]) -> None:
        """Call a function at a time that has not passed."""
        heapq.heappush(self._events, (time_s, next(self._numbers), event))

    def after(self, seconds: float, event: Callable[[], None]) -> None:
        """Call a function some seconds from now."""
        self.at(self.now_s + seconds, event)

    def run(self, until: Callable[[], bool]) -> None:
        """Call the functions until a condition holds or none is left."""
        while self._events and not until():
            self.now_s, _, event = heapq.heappop(self._events)
            event()

"""Requests whose head was let in and whose body is on its way."""

from collections import OrderedDict, defaultdict
from itertools import count

HELD_S = 1.0  # a body that takes longer must find a place when it is complete


class Arrivals:
    """The places that are held for bodies on their way. Use it on the event loop only.

    Without them, all heads of a burst would find the same empty queue. They end after a second, so
    that uploads that stall take no place from others.
    """

    def __init__(self) -> None:
        """Begin empty."""
        self._numbers = count()
        self._ends: defaultdict[str, OrderedDict[int, float]] = defaultdict(OrderedDict)

    def add(self, model: str, now_s: float) -> int:
        """Hold a place for a model and return its number."""
        number = next(self._numbers)
        self._ends[model][number] = now_s + HELD_S
        return number

    def remove(self, model: str, number: int) -> None:
        """Give a place back; it may have ended by itself."""
        self._ends[model].pop(number, None)

    def count(self, model: str, now_s: float) -> int:
        """Return the number of places that are held for a model."""
        ends = self._ends[model]
        while ends and next(iter(ends.values())) < now_s:
            ends.popitem(last=False)
        return len(ends)

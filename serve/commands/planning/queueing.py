"""Waiting times of requests at one server with several slots.

The queue is M/G/k: Poisson arrivals, service times of any distribution, k slots, first come first
served. Its mean wait is that of M/M/k (Erlang C) by half of one plus the squared coefficient of
variation (Allen and Cunneen, for Poisson arrivals also Lee and Longton), and the wait of those that
wait is taken as exponential. Both are exact for M/M/k.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stream:
    """Requests of one kind."""

    rate: float  # a second
    service_s: float  # in a slot


@dataclass(frozen=True, slots=True)
class Queue:
    """A server with its arrivals."""

    rate: float  # a second
    slots: int
    mean_s: float  # of the service
    variation: float  # squared coefficient, 0 for equal times and 1 for exponential ones

    @property
    def load(self) -> float:
        """Return the slots that are busy on average, if the queue is stable."""
        return self.rate * self.mean_s

    @property
    def utilisation(self) -> float:
        """Return the busy share of the slots; from 1 on the queue grows without end."""
        return self.load / self.slots

    @property
    def delayed(self) -> float:
        """Return the share of requests that wait."""
        return erlang_c(self.slots, self.load)

    @property
    def mean_wait_s(self) -> float:
        """Return the mean wait of all requests; infinite if the queue is unstable."""
        if self.utilisation >= 1:
            return math.inf
        wait_s = self.delayed * self.mean_s / (self.slots - self.load)
        return wait_s * (1 + self.variation) / 2

    def wait_s(self, quantile: float) -> float:
        """Return a quantile of the wait, 0 if so many do not wait."""
        if self.utilisation >= 1:
            return math.inf
        delayed = self.delayed
        if delayed <= 1 - quantile:
            return 0.0
        return math.log(delayed / (1 - quantile)) * self.mean_wait_s / delayed


def queue_of(streams: Sequence[Stream], slots: int) -> Queue:
    """Return the queue of several kinds of requests at one server.

    Args:
        streams: at least one with a rate above 0.
        slots: of the server.
    """
    rate = sum(stream.rate for stream in streams)
    mean_s = sum(stream.rate * stream.service_s for stream in streams) / rate
    square = sum(stream.rate * stream.service_s**2 for stream in streams) / rate
    return Queue(rate, slots, mean_s, max(0.0, square / mean_s**2 - 1))


def erlang_c(slots: int, load: float) -> float:
    """Return the share of requests that wait in M/M/k.

    Args:
        slots: k.
        load: slots that are busy on average; 1 is returned if these are all.
    """
    if load >= slots:
        return 1.0
    blocked = 1.0  # Erlang B, by its recursion, which does not overflow
    for number in range(1, slots + 1):
        blocked = load * blocked / (number + load * blocked)
    return blocked * slots / (slots - load * (1 - blocked))

"""Counters and histograms of one thread: without the locks of prometheus-client's own.

A request costs 1.3 us with those and 0.5 us with these, where the cheapest request takes 65 us.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.utils import floatToGoString

Values = tuple[str, ...]  # of the labels


class Counts(dict[Values, int]):
    """Counts by the values of their labels; one that is not counted yet is 0."""

    def __init__(self, name: str, text: str, *labels: str) -> None:
        """Begin at zero.

        Args:
            name: without its suffix _total.
            text: for people.
            labels: names of the labels.
        """
        super().__init__()
        self._head = (name, text, None, labels)

    def __missing__(self, values: Values) -> int:
        """Return 0."""
        return 0

    def collect(self) -> Iterator[Metric]:
        """Yield the counters of now; another thread may do so."""
        family = CounterMetricFamily(*self._head)
        for values, count in list(self.items()):
            family.add_metric(values, count)
        yield family


@dataclass(slots=True)
class Times:
    """The seconds of one kind of event."""

    bounds: Sequence[float]  # rising
    counts: list[int] = field(default_factory=list)  # within each bound, and above the last
    total_s: float = 0.0

    def __post_init__(self) -> None:
        """Begin at zero."""
        self.counts = [0] * (len(self.bounds) + 1)

    def add(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total_s += seconds


class Histograms(dict[Values, Times]):
    """Times by the values of their labels, made when they are first used."""

    def __init__(self, name: str, text: str, *labels: str, bounds: Sequence[float]) -> None:
        """Begin without any.

        Args:
            name: of the metric.
            text: for people.
            labels: names of the labels.
            bounds: of the buckets, rising, without infinity.
        """
        super().__init__()
        self._head = (name, text, None, None, labels)
        self._bounds = bounds
        self._texts = [*map(floatToGoString, bounds), "+Inf"]

    def __missing__(self, values: Values) -> Times:
        """Make the times of new values."""
        times = self[values] = Times(self._bounds)
        return times

    def collect(self) -> Iterator[Metric]:
        """Yield the histograms of now; another thread may do so."""
        family = HistogramMetricFamily(*self._head)
        for values, times in list(self.items()):
            sums = accumulate(list(times.counts))
            buckets = list(zip(self._texts, map(float, sums), strict=True))
            family.add_metric(values, buckets, times.total_s)
        yield family


Tally = Counts | Histograms


@dataclass(frozen=True, slots=True, eq=False)
class Tallies:
    """A collector of tallies for a registry."""

    all: Sequence[Tally]

    def describe(self) -> Sequence[Metric]:
        """Return nothing: the names do not change."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield the figures of all."""
        for tally in self.all:
            yield from tally.collect()

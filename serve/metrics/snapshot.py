"""Read the text of /metrics, and compare two of them: rates, and percentiles of histograms."""

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

Buckets = Mapping[float, float]  # upper bound: observations up to it


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The figures of a server at one time."""

    time_s: float
    samples: tuple[Sample, ...] = ()

    @classmethod
    def parse(cls, text: str, time_s: float) -> "Snapshot":
        """Return the figures of a text.

        Raises:
            ValueError: it is not in the text form of Prometheus.
        """
        families = text_string_to_metric_families(text)
        return cls(time_s, tuple(sample for family in families for sample in family.samples))

    def has(self, name: str) -> bool:
        """Return whether there is such a figure."""
        return any(sample.name == name for sample in self.samples)

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of a figure over all other labels; 0 if there is none."""
        return sum(sample.value for sample in self._matching(name, labels))

    def by(self, label: str, name: str, **labels: str) -> dict[str, float]:
        """Return the sums of a figure by the values of a label."""
        sums: defaultdict[str, float] = defaultdict(float)
        for sample in self._matching(name, labels):
            sums[sample.labels.get(label, "")] += sample.value
        return dict(sums)

    def buckets(self, name: str, **labels: str) -> Buckets:
        """Return the observations of a histogram up to each bound, over all other labels."""
        by_bound = self.by("le", f"{name}_bucket", **labels)
        return {float(bound): count for bound, count in by_bound.items()}

    def _matching(self, name: str, labels: Mapping[str, str]) -> list[Sample]:
        return [
            sample
            for sample in self.samples
            if sample.name == name
            and all(sample.labels.get(key) == value for key, value in labels.items())
        ]


@dataclass(frozen=True, slots=True)
class Change:
    """Two snapshots compared. A counter that fell began again at zero."""

    before: Snapshot
    after: Snapshot

    def rate(self, name: str, **labels: str) -> float:
        """Return how much a counter grew in a second."""
        grown = _grown(self.before.total(name, **labels), self.after.total(name, **labels))
        return grown / max(self.after.time_s - self.before.time_s, 1e-9)

    def quantile(self, share: float, name: str, **labels: str) -> float | None:
        """Return a percentile of what a histogram observed in between; None: nothing."""
        before = self.before.buckets(name, **labels)
        after = self.after.buckets(name, **labels)
        grown = {bound: _grown(before.get(bound, 0.0), after[bound]) for bound in sorted(after)}
        return quantile(share, grown)


def _grown(before: float, after: float) -> float:
    return after - before if after >= before else after


def quantile(share: float, buckets: Buckets) -> float | None:
    """Return a percentile from cumulative buckets, linear within one, as Prometheus does.

    Above the last finite bound it is that bound.
    """
    bounds = sorted(buckets)
    if not bounds or not buckets[bounds[-1]]:
        return None
    rank = share * buckets[bounds[-1]]
    low, below = 0.0, 0.0
    for bound in bounds:
        if buckets[bound] >= rank:
            if math.isinf(bound):
                return low
            inside = buckets[bound] - below
            return low + (bound - low) * ((rank - below) / inside if inside else 1.0)
        low, below = bound, buckets[bound]
    return low

"""Compare the counts of two versions by two-proportion tests."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from serve.routing.counts import GROWTH, VersionCounts

Verdict = Literal["better", "worse", "undecided"]  # of the candidate

MINIMUM = 500  # cases of each version, below which nothing is decided
ALPHA = 0.05  # the most chance of a verdict where the versions are equal, all comparisons together
LEAST_EXPECTED = 5  # cases in each cell, below which the normal distribution does not hold


@dataclass(frozen=True, slots=True)
class Share:
    """Some of all cases."""

    part: int
    total: int

    @property
    def rate(self) -> float:
        """Return the share; 0 without a case."""
        return self.part / self.total if self.total else 0.0


def _errors(counts: VersionCounts) -> Share:
    return Share(counts.errors, counts.answers + counts.errors)


def _confident(counts: VersionCounts) -> Share:
    return Share(counts.confident, counts.classified)


def _correct(counts: VersionCounts) -> Share:
    return Share(counts.correct, counts.correct + counts.wrong)


# name, the share, and whether a larger one is better
_QUANTITIES: Sequence[tuple[str, Callable[[VersionCounts], Share], bool]] = (
    ("errors", _errors, False),
    ("confident", _confident, True),
    ("correct", _correct, True),
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One quantity of both versions, and whether they differ."""

    name: str
    default: Share
    candidate: Share
    verdict: Verdict
    p_value: float | None  # None: too few cases


def compare(
    default: VersionCounts,
    candidate: VersionCounts,
    *,
    minimum: int = MINIMUM,
    alpha: float = ALPHA,
) -> list[Comparison]:
    """Compare errors, confident answers and outcomes, those that there are.

    The chance of a wrong verdict is divided between them (Bonferroni). Each is two-sided.

    Args:
        default: counts of the version that serves.
        candidate: counts of the other one, of the same time.
        minimum: cases of each version for a verdict.
        alpha: the chance that any verdict is given between equal versions.
    """
    pairs = [
        (name, of(default), of(candidate), is_good)
        for name, of, is_good in _QUANTITIES
        if of(default).total or of(candidate).total
    ]
    return [
        _compare(name, one, other, is_good, minimum, alpha / len(pairs))
        for name, one, other, is_good in pairs
    ]


def two_proportions(one: Share, other: Share) -> float | None:
    """Return the two-sided p-value of the pooled z-test; None if it does not hold.

    It holds if each version has LEAST_EXPECTED cases of both kinds to expect.
    """
    total = one.total + other.total
    pooled = (one.part + other.part) / total if total else 0.0
    least = min(one.total, other.total) * min(pooled, 1 - pooled)
    if least < LEAST_EXPECTED:
        return None
    variance = pooled * (1 - pooled) * (1 / one.total + 1 / other.total)
    z = (other.rate - one.rate) / math.sqrt(variance)
    return math.erfc(abs(z) / math.sqrt(2))


def most_agreement(one: Mapping[str, int], other: Mapping[str, int]) -> float | None:
    """Return the most that two versions can agree in, by how often each answers each class.

    Were both asked the same, at least the rest (the total variation distance) would differ. Chance
    alone lowers it a little. None: one has no such answer.
    """
    totals = sum(one.values()), sum(other.values())
    if not all(totals):
        return None
    labels = one.keys() | other.keys()
    return sum(min(one.get(i, 0) / totals[0], other.get(i, 0) / totals[1]) for i in labels)


def quantile_ms(bins: Sequence[int], share: float) -> float | None:
    """Return the upper bound of the bin in which a share of the answers ends; None: no answer."""
    rank, seen = share * sum(bins), 0
    for index, count in enumerate(bins):
        seen += count
        if seen and seen >= rank:
            return float(GROWTH**index)
    return None


def _compare(
    name: str, one: Share, other: Share, is_good: bool, minimum: int, alpha: float
) -> Comparison:
    p_value = two_proportions(one, other) if min(one.total, other.total) >= minimum else None
    verdict: Verdict = "undecided"
    if p_value is not None and p_value < alpha:
        verdict = "better" if (other.rate > one.rate) == is_good else "worse"
    return Comparison(name, one, other, verdict, p_value)

"""Counts of values in equal bins that grow with them, and the ranges that quantization takes.

A tensor's values pass by once and only its counts stay, so memory does not depend on how many
samples are observed.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HALF = 2048  # bins on each side of zero
BINS = 2 * HALF
SMALLEST_REACH = 2.0**-24
LEVELS = 256  # of 8 bits
KEPT = 0.99999  # share of the values that a percentile's range holds, each tail losing half of it
NARROWEST, STEPS = 0.25, 49  # of the ranges that entropy compares, as shares of the extremes


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many values fell into each bin."""

    counts: NDArray[np.int64]  # (BINS,), equal bins over [-reach, reach]
    reach: float  # a power of two, so that two bins become one where it doubles


def count(values: NDArray[np.float32], before: Histogram | None = None) -> Histogram:
    """Add values to what was counted before; bins widen where the values need it.

    Args:
        values: of any shape, finite.
        before: None: nothing yet.
    """
    needed = _reach(float(np.abs(values).max(initial=0)))
    before = before or Histogram(np.zeros(BINS, np.int64), needed)
    before = _widened(before, max(needed, before.reach))
    bins = np.floor(values.ravel() * np.float32(HALF / before.reach)).astype(np.int64) + HALF
    added = np.bincount(np.minimum(bins, BINS - 1), minlength=BINS)
    return Histogram(before.counts + added, before.reach)


def percentile(histogram: Histogram, kept: float = KEPT) -> tuple[float, float]:
    """The range without the tails: what lies beyond is clipped, and all else has finer steps."""
    share = np.cumsum(histogram.counts) / max(histogram.counts.sum(), 1)
    tail = (1 - kept) / 2
    low, high = np.searchsorted(share, [tail, 1 - tail], side="right")
    step = histogram.reach / HALF
    return (float(low) - HALF) * step, (min(float(high), BINS - 1) + 1 - HALF) * step


def entropy(histogram: Histogram, extremes: tuple[float, float]) -> tuple[float, float]:
    """The range whose 256 levels tell the values' distribution with the least divergence.

    Args:
        histogram: of the tensor.
        extremes: its minimum and maximum; the ranges compared are shares of them.

    Zeros are left out: any range tells them exactly, and where an activation has cut off half of
    the values they would outweigh the others.

    Source: Kullback-Leibler divergence as TensorRT's entropy calibration has it, for ranges that
    are not symmetric.
    """
    counts = histogram.counts.copy()
    counts[HALF] = 0
    histogram = Histogram(counts, histogram.reach)
    shares = np.linspace(1, NARROWEST, STEPS)
    best = min(shares, key=lambda share: _divergence(histogram, extremes, share))
    return float(extremes[0] * best), float(extremes[1] * best)


def _reach(largest: float) -> float:
    return float(2.0 ** math.ceil(math.log2(max(largest, SMALLEST_REACH))))


def _widened(histogram: Histogram, reach: float) -> Histogram:
    """Merge neighbours away from zero, which stays an edge between two bins."""
    merged = min(round(reach / histogram.reach), HALF)
    below, above = histogram.counts[:HALF], histogram.counts[HALF:]
    counts = np.zeros(BINS, np.int64)
    counts[HALF - HALF // merged : HALF] = below.reshape(-1, merged).sum(axis=1)
    counts[HALF : HALF + HALF // merged] = above.reshape(-1, merged).sum(axis=1)
    return Histogram(counts, reach)


def _divergence(histogram: Histogram, extremes: tuple[float, float], share: float) -> float:
    step = histogram.reach / HALF
    first = HALF + math.floor(min(extremes[0], 0) * share / step)
    last = HALF + math.ceil(max(extremes[1], 0) * share / step)
    inside = histogram.counts[max(first, 0) : max(last, first + 1)].astype(np.float64)
    clipped = inside.copy()
    clipped[0] += histogram.counts[: max(first, 0)].sum()
    clipped[-1] += histogram.counts[max(last, first + 1) :].sum()
    told = _told(inside)
    seen = clipped > 0
    p = clipped[seen] / max(clipped.sum(), 1)
    # a value that no level tells would be infinitely wrong; one count tells it, very badly
    q = np.maximum(told[seen], 1e-4) / max(told.sum(), 1)
    return float((p * np.log(p / q)).sum())


def _told(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """What LEVELS equal steps keep of the counts: one mean over the filled bins of each."""
    level = np.arange(len(counts)) * LEVELS // max(len(counts), LEVELS)
    filled = counts > 0
    totals = np.bincount(level, weights=counts, minlength=LEVELS)
    bins = np.bincount(level, weights=filled, minlength=LEVELS)
    told: NDArray[np.float64] = (totals / np.maximum(bins, 1))[level] * filled
    return told

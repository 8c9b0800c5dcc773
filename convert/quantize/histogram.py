"""Histograms that grow with their values, and the ranges that quantization takes from them.

Values are counted and not kept, so memory does not depend on the number of samples.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HALF = 2048  # bins on each side of zero
BINS = 2 * HALF
SMALLEST_REACH = 2.0**-24
LEVELS = 256  # of 8 bits
COVERAGE = 0.99999  # share of the values inside a percentile range; each tail has half of the rest
NARROWEST, STEPS = 0.25, 49  # ranges that entropy compares, as shares of minimum and maximum
LEAST_COUNT = 1e-4  # in place of an empty level: a divergence of infinity would hide all others


@dataclass(frozen=True, slots=True)
class Histogram:
    """The number of values in each of BINS equal bins."""

    counts: NDArray[np.int64]  # (BINS,), over [-reach, reach]
    reach: float  # a power of two: when it doubles, each pair of bins becomes one


def add_values(values: NDArray[np.float32], histogram: Histogram | None = None) -> Histogram:
    """Count further values; the reach doubles until they fit.

    Args:
        values: of any shape, finite.
        histogram: of earlier values; None: there are none.
    """
    reach = _reach(float(np.abs(values).max(initial=0)))
    histogram = histogram or Histogram(np.zeros(BINS, np.int64), reach)
    histogram = _widen(histogram, max(reach, histogram.reach))
    bins = np.floor(values.ravel() * np.float32(HALF / histogram.reach)).astype(np.int64) + HALF
    added = np.bincount(np.minimum(bins, BINS - 1), minlength=BINS)
    return Histogram(histogram.counts + added, histogram.reach)


def percentile_range(histogram: Histogram, coverage: float = COVERAGE) -> tuple[float, float]:
    """Return the range without its tails: their values are clipped, all others get finer steps."""
    share = np.cumsum(histogram.counts) / max(histogram.counts.sum(), 1)
    tail = (1 - coverage) / 2
    low, high = np.searchsorted(share, [tail, 1 - tail], side="right")
    step = histogram.reach / HALF
    return (float(low) - HALF) * step, (min(float(high), BINS - 1) + 1 - HALF) * step


def entropy_range(histogram: Histogram, min_max: tuple[float, float]) -> tuple[float, float]:
    """Return the range in which 256 levels change the distribution of the values the least.

    Zeros are left out: every range represents them exactly, and after an activation that sets half
    of all values to zero they would outweigh the others.

    Args:
        histogram: of the tensor.
        min_max: its minimum and maximum; the ranges to compare are shares of them.

    Source: Kullback-Leibler divergence as in TensorRT's entropy calibration, for ranges that are
    not symmetric.
    """
    counts = histogram.counts.copy()
    counts[HALF] = 0
    histogram = Histogram(counts, histogram.reach)
    shares = np.linspace(1, NARROWEST, STEPS)
    best = min(shares, key=lambda share: _divergence(histogram, min_max, share))
    return float(min_max[0] * best), float(min_max[1] * best)


def _reach(largest: float) -> float:
    return float(2.0 ** math.ceil(math.log2(max(largest, SMALLEST_REACH))))


def _widen(histogram: Histogram, reach: float) -> Histogram:
    """Merge bins into wider ones; zero stays the border between two bins."""
    merged = min(round(reach / histogram.reach), HALF)
    below, above = histogram.counts[:HALF], histogram.counts[HALF:]
    counts = np.zeros(BINS, np.int64)
    counts[HALF - HALF // merged : HALF] = below.reshape(-1, merged).sum(axis=1)
    counts[HALF : HALF + HALF // merged] = above.reshape(-1, merged).sum(axis=1)
    return Histogram(counts, reach)


def _divergence(histogram: Histogram, min_max: tuple[float, float], share: float) -> float:
    """Return the divergence of 256 levels from the values, clipped to a share of their range."""
    step = histogram.reach / HALF
    first = HALF + math.floor(min(min_max[0], 0) * share / step)
    last = HALF + math.ceil(max(min_max[1], 0) * share / step)
    inside = histogram.counts[max(first, 0) : max(last, first + 1)].astype(np.float64)
    clipped = inside.copy()
    clipped[0] += histogram.counts[: max(first, 0)].sum()
    clipped[-1] += histogram.counts[max(last, first + 1) :].sum()
    quantized = _quantize_counts(inside)
    filled = clipped > 0
    p = clipped[filled] / max(clipped.sum(), 1)
    q = np.maximum(quantized[filled], LEAST_COUNT) / max(quantized.sum(), 1)
    return float((p * np.log(p / q)).sum())


def _quantize_counts(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Replace the counts in the bins of each of LEVELS levels by their mean; empty bins stay so."""
    level = np.arange(len(counts)) * LEVELS // max(len(counts), LEVELS)
    filled = counts > 0
    totals = np.bincount(level, weights=counts, minlength=LEVELS)
    bins = np.bincount(level, weights=filled, minlength=LEVELS)
    quantized: NDArray[np.float64] = (totals / np.maximum(bins, 1))[level] * filled
    return quantized

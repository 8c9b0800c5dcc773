"""Counts that grow with their values, and the ranges found in them."""

import numpy as np
import pytest

from convert.quantize.histogram import BINS, HALF, KEPT, Histogram, count, entropy, percentile


def counted(*parts: np.ndarray) -> Histogram:
    histogram = None
    for part in parts:
        histogram = count(part.astype(np.float32), histogram)
    assert histogram is not None
    return histogram


def test_order_does_not_matter_however_much_the_bins_grow() -> None:
    rng = np.random.default_rng(0)
    parts = [rng.standard_normal(999) * scale for scale in (0.01, 3, 0.5, 40)]
    upward, downward = counted(*parts), counted(*parts[::-1])
    assert upward.reach == downward.reach
    np.testing.assert_array_equal(upward.counts, downward.counts)
    values = np.concatenate(parts).astype(np.float32)
    expected, _ = np.histogram(values, BINS, (-upward.reach, upward.reach))
    np.testing.assert_array_equal(upward.counts, expected)


def test_nothing_and_zeros_have_counts_too() -> None:
    assert counted(np.zeros(0)).counts.sum() == 0
    assert max(map(abs, percentile(counted(np.zeros(0))))) < 1e-6
    zeros = counted(np.zeros(7))
    assert zeros.counts[HALF] == 7
    low, high = percentile(zeros)
    assert low == 0
    assert 0 <= high < 1e-6


def test_percentile_leaves_an_outlier_out() -> None:
    usual = np.random.default_rng(1).uniform(-1, 2, 10_000_000)
    low, high = percentile(counted(usual, np.full(3, 100.0), np.full(3, -50.0)))
    # one bin of 128 / HALF is 0.06 wide
    assert -1 - 128 / HALF <= low <= -1 + 128 / HALF
    assert 2 - 128 / HALF <= high <= 2 + 128 / HALF
    assert KEPT > 1 - 1e-4


def test_values_at_the_extremes_are_inside() -> None:
    low, high = percentile(counted(np.linspace(-3, 5, 1001)))
    assert low <= -3 + 8 / HALF
    assert high >= 5


@pytest.mark.parametrize("sign", [1, -1])
def test_entropy_gives_the_many_finer_steps(sign: int) -> None:
    rng = np.random.default_rng(2)
    usual = np.abs(rng.standard_normal(200_000)) * sign
    spread = counted(usual, np.array([9.0, 14, 20]) * sign)
    ends = (0.0, 20.0) if sign > 0 else (-20.0, 0.0)
    low, high = entropy(spread, ends)
    assert 4 < max(high, -low) <= 14
    assert min(abs(low), abs(high)) == 0


def test_entropy_keeps_what_is_filled_evenly() -> None:
    even = counted(np.random.default_rng(3).uniform(-4, 4, 400_000))
    low, high = entropy(even, (-4.0, 4.0))
    assert low < -3.8
    assert high > 3.8


def test_entropy_does_not_take_zeros_for_the_signal() -> None:
    rng = np.random.default_rng(4)
    rectified = counted(np.zeros(900_000), np.abs(rng.standard_normal(100_000)) * 3)
    alone = counted(np.abs(rng.standard_normal(100_000)) * 3)
    assert entropy(rectified, (0.0, 13.0)) == pytest.approx(entropy(alone, (0.0, 13.0)), abs=0.6)

"""Histograms that grow with their values, and the ranges taken from them."""

import numpy as np
import pytest

from convert.quantize.histogram import (
    BINS,
    COVERAGE,
    HALF,
    Histogram,
    add_values,
    entropy_range,
    percentile_range,
)


def histogram_of(*parts: np.ndarray) -> Histogram:
    """Add the values of one part after the other."""
    histogram = None
    for part in parts:
        histogram = add_values(part.astype(np.float32), histogram)
    assert histogram is not None
    return histogram


def test_counts_do_not_depend_on_the_order_of_the_values() -> None:
    rng = np.random.default_rng(0)
    parts = [rng.standard_normal(999) * scale for scale in (0.01, 3, 0.5, 40)]
    upward, downward = histogram_of(*parts), histogram_of(*parts[::-1])
    assert upward.reach == downward.reach
    np.testing.assert_array_equal(upward.counts, downward.counts)
    values = np.concatenate(parts).astype(np.float32)
    expected, _ = np.histogram(values, BINS, (-upward.reach, upward.reach))
    np.testing.assert_array_equal(upward.counts, expected)


def test_no_values_and_zeros_have_a_range() -> None:
    assert histogram_of(np.zeros(0)).counts.sum() == 0
    assert max(map(abs, percentile_range(histogram_of(np.zeros(0))))) < 1e-6
    zeros = histogram_of(np.zeros(7))
    assert zeros.counts[HALF] == 7
    low, high = percentile_range(zeros)
    assert low == 0
    assert 0 <= high < 1e-6


def test_percentile_range_leaves_outliers_out() -> None:
    common = np.random.default_rng(1).uniform(-1, 2, 10_000_000)
    low, high = percentile_range(histogram_of(common, np.full(3, 100.0), np.full(3, -50.0)))
    # one bin of 128 / HALF is 0.06 wide
    assert -1 - 128 / HALF <= low <= -1 + 128 / HALF
    assert 2 - 128 / HALF <= high <= 2 + 128 / HALF
    assert COVERAGE > 1 - 1e-4


def test_percentile_range_holds_minimum_and_maximum_of_few_values() -> None:
    low, high = percentile_range(histogram_of(np.linspace(-3, 5, 1001)))
    assert low <= -3 + 8 / HALF
    assert high >= 5


@pytest.mark.parametrize("sign", [1, -1])
def test_entropy_range_clips_rare_values(sign: int) -> None:
    rng = np.random.default_rng(2)
    common = np.abs(rng.standard_normal(200_000)) * sign
    histogram = histogram_of(common, np.array([9.0, 14, 20]) * sign)
    min_max = (0.0, 20.0) if sign > 0 else (-20.0, 0.0)
    low, high = entropy_range(histogram, min_max)
    assert 4 < max(high, -low) <= 14
    assert min(abs(low), abs(high)) == 0


def test_entropy_range_of_evenly_spread_values_is_the_whole_range() -> None:
    histogram = histogram_of(np.random.default_rng(3).uniform(-4, 4, 400_000))
    low, high = entropy_range(histogram, (-4.0, 4.0))
    assert low < -3.8
    assert high > 3.8


def test_entropy_range_ignores_zeros() -> None:
    rng = np.random.default_rng(4)
    rectified = histogram_of(np.zeros(900_000), np.abs(rng.standard_normal(100_000)) * 3)
    without_zeros = histogram_of(np.abs(rng.standard_normal(100_000)) * 3)
    expected = entropy_range(without_zeros, (0.0, 13.0))
    assert entropy_range(rectified, (0.0, 13.0)) == pytest.approx(expected, abs=0.6)

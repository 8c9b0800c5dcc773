import numpy as np
import pytest

from benchmarks.scaling.fit import series


def test_the_slope_is_what_one_more_unit_costs() -> None:
    line = series("clients", "server", "ms", [(4, 9.0), (1, 3.0), (2, 5.0)])
    assert [point.size for point in line.points] == [1, 2, 4]
    assert line.slope == pytest.approx(2.0)
    assert line.intercept == pytest.approx(1.0)
    assert line.slope_error == pytest.approx(0.0, abs=1e-9)


def test_the_error_is_the_standard_error_of_the_slope() -> None:
    sizes, values = np.array([1.0, 2.0, 3.0, 4.0, 5.0]), np.array([1.1, 1.9, 3.2, 3.9, 5.2])
    line = series("x", "f", "s", list(zip(sizes, values, strict=True)))
    _, covariance = np.polyfit(sizes, values, 1, cov=True)
    assert line.slope_error == pytest.approx(covariance[0, 0] ** 0.5)


def test_few_sizes_have_no_slope_or_no_error() -> None:
    assert series("x", "f", "s", [(1, 1.0), (1, 2.0)]).slope is None
    two = series("x", "f", "s", [(1, 1.0), (2, 3.0)])
    assert two.slope == pytest.approx(2.0)
    assert two.slope_error is None

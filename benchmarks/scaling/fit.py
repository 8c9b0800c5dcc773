"""A straight line through points, and how sure its slope is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Point:
    """A value at a size."""

    size: float
    value: float


@dataclass(frozen=True, slots=True)
class Series:
    """A function's values over a quantity that grows, and their least-squares line."""

    quantity: str  # with its unit: "megapixels"
    function: str
    value: str  # with its unit: "wall s"
    points: tuple[Point, ...]  # by size
    slope: float | None  # per unit of the quantity; None: fewer than two sizes
    slope_error: float | None  # standard error; None: fewer than three sizes
    intercept: float | None


def series(
    quantity: str, function: str, value: str, pairs: Sequence[tuple[float, float]]
) -> Series:
    """Fit a line to (size, value) pairs, at least one."""
    points = tuple(Point(float(size), float(number)) for size, number in sorted(pairs))
    sizes = np.array([point.size for point in points])
    values = np.array([point.value for point in points])
    if len(set(sizes)) < 2:
        return Series(quantity, function, value, points, None, None, None)
    slope, intercept = (float(number) for number in np.polyfit(sizes, values, 1))
    error = _standard_error(sizes, values - (intercept + slope * sizes))
    return Series(quantity, function, value, points, slope, error, intercept)


def _standard_error(sizes: np.ndarray, residuals: np.ndarray) -> float | None:
    """Return the standard error of a slope: that of the residuals over the spread of the sizes."""
    if len(sizes) < 3:
        return None
    variance = float((residuals**2).sum()) / (len(sizes) - 2)
    return float((variance / ((sizes - sizes.mean()) ** 2).sum()) ** 0.5)

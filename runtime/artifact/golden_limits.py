"""Decide whether outputs differ from the golden ones by more than when the version was verified."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MARGIN = 1e-3  # CPUs round what stays in float differently
IN_PIXELS = frozenset({"boxes_xyxy", "keypoints"})  # outputs whose margin grows with the image


@dataclass(frozen=True, slots=True)
class Difference:
    """Absolute differences between two arrays, or limits of such."""

    mean_abs: float
    max_abs: float

    def of_one(self, samples: int) -> "Difference":
        """Return what one sample may differ by, if this is the difference over several.

        One of N samples may hold all of what the mean is of: N times the mean.
        """
        return Difference(self.mean_abs * samples, self.max_abs)

    def plus(self, amount: float) -> "Difference":
        """Return both values raised by an amount."""
        return Difference(self.mean_abs + amount, self.max_abs + amount)

    def divided_by(self, unit: float) -> "Difference":
        """Return both values in multiples of a unit."""
        return Difference(self.mean_abs / unit, self.max_abs / unit)

    def is_within(self, limits: "Difference") -> bool:
        """Return True if neither value exceeds its limit; NaN exceeds every limit."""
        return self.mean_abs <= limits.mean_abs and self.max_abs <= limits.max_abs


def measure_difference(expected: NDArray[Any], actual: NDArray[Any]) -> Difference:
    """Return the difference of two arrays of equal shape with at least one element.

    Strings differ by 0 or infinity.
    """
    if actual.dtype.kind not in "fbiu":
        most = 0.0 if np.array_equal(expected, actual) else np.inf
        return Difference(most, most)
    # integers would wrap around, and bool has no difference
    absolute = np.abs(expected.astype(np.float64) - actual.astype(np.float64))
    return Difference(float(absolute.mean()), float(absolute.max()))


def recorded_difference(verification: Mapping[str, Any], output: str) -> Difference | None:
    """Return the difference from the golden output at conversion; None if it was not recorded.

    Args:
        verification: of the variant, from the manifest.
        output: name of the graph's output.
    """
    values = verification.get("golden", {}).get(output)
    return None if values is None else Difference(values["mean_abs"], values["max_abs"])


def limits(recorded: Difference, unit: float = 1.0) -> Difference:
    """Return how far an output may differ: by the recorded difference plus MARGIN units."""
    return recorded.plus(MARGIN * unit)


def margin_unit(output: str, inputs: Mapping[str, NDArray[Any]]) -> float:
    """Return the unit of an output's margin: the image's longer side in px for coordinates, else 1.

    Args:
        output: name of the graph's output.
        inputs: of the graph; one image, (N, H, W, C), if the output holds coordinates.
    """
    if output not in IN_PIXELS:
        return 1.0
    (image,) = inputs.values()
    return float(max(image.shape[1:3]))

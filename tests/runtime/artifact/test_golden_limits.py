import math

import numpy as np
import pytest

from runtime.artifact.golden_limits import (
    MARGIN,
    Difference,
    limits,
    margin_unit,
    measure_difference,
    recorded_difference,
)

RECORDED = Difference(mean_abs=0.002, max_abs=0.05)


def test_a_difference_has_the_mean_and_the_largest_absolute_value() -> None:
    difference = measure_difference(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 2.5, 3.0, 3.9]))
    assert difference.mean_abs == pytest.approx(0.15)
    assert difference.max_abs == 0.5


def test_the_limits_are_the_recorded_difference_and_a_margin() -> None:
    assert MARGIN == 1e-3
    allowed = limits(RECORDED)
    assert allowed.mean_abs == pytest.approx(0.003)
    assert allowed.max_abs == pytest.approx(0.051)


@pytest.mark.parametrize(
    ("mean_abs", "max_abs", "expected"),
    [
        (0.0029, 0.0509, True),
        (0.0031, 0.0509, False),
        (0.0029, 0.0511, False),
        (math.nan, 0.0, False),
        (0.0, math.nan, False),
    ],
)
def test_both_values_are_compared(mean_abs: float, max_abs: float, expected: bool) -> None:
    assert Difference(mean_abs, max_abs).is_within(limits(RECORDED)) is expected


def test_one_of_several_samples_may_hold_all_of_the_mean() -> None:
    """Check one sample of four that differs: over all four the mean is a quarter of its own."""
    expected, actual = np.zeros((4, 10)), np.zeros((4, 10))
    actual[0] = 0.02
    recorded = measure_difference(expected, actual)
    first = measure_difference(expected[:1], actual[:1])
    assert not first.is_within(recorded)
    assert first.is_within(recorded.of_one(4))
    assert recorded.of_one(4).max_abs == recorded.max_abs


def test_the_margin_of_coordinates_is_a_share_of_the_longer_side() -> None:
    inputs = {"image": np.zeros((2, 480, 640, 3), np.uint8)}
    assert margin_unit("boxes_xyxy", inputs) == margin_unit("keypoints", inputs) == 640
    assert margin_unit("scores", inputs) == 1
    assert limits(RECORDED, 640.0).max_abs == pytest.approx(0.05 + 0.64)
    assert limits(RECORDED, 640.0).divided_by(640).mean_abs == pytest.approx(0.002 / 640 + 1e-3)


def test_the_record_is_found_by_output() -> None:
    verification = {"golden": {"alpha": {"mean_abs": 0.002, "max_abs": 0.05}}}
    assert recorded_difference(verification, "alpha") == RECORDED
    assert recorded_difference(verification, "scores") is None
    assert recorded_difference({}, "alpha") is None

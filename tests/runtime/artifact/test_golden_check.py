from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.artifact.golden import Golden
from runtime.artifact.golden_check import OutputCheck, check_outputs

IMAGES = np.zeros((4, 8, 20, 3), np.uint8)
BOXES = np.zeros((4, 5, 4), np.float32)
SCORES = np.zeros((4, 5), np.float32)
GOLDEN = Golden(
    path=Path("golden.npz"),
    media=(),
    conditions=(),
    inputs={"image": IMAGES},
    outputs={"boxes_xyxy": BOXES, "scores": SCORES},
)
RECORDED = {"golden": {"scores": {"mean_abs": 0.01, "max_abs": 0.2}}}


def check(name: str, actual: NDArray[np.float32]) -> OutputCheck:
    (result,) = check_outputs(GOLDEN, RECORDED, {name: actual})
    return result


def test_an_output_may_differ_as_it_did_and_by_the_margin() -> None:
    assert check("scores", SCORES + np.float32(0.0109)).passes
    assert not check("scores", SCORES + np.float32(0.0111)).passes
    peak = SCORES.copy()
    peak[0, 0] = 0.2005
    assert check("scores", peak).passes
    peak[0, 0] = 0.2015
    assert not check("scores", peak).passes


def test_one_sample_may_hold_all_of_the_mean_difference() -> None:
    assert check("scores", SCORES[:1] + np.float32(0.0405)).passes
    assert not check("scores", SCORES[:1] + np.float32(0.0415)).passes


def test_the_margin_of_coordinates_is_in_pixels_and_nothing_recorded_is_no_difference() -> None:
    assert check("boxes_xyxy", BOXES + np.float32(0.019)).passes
    assert not check("boxes_xyxy", BOXES + np.float32(0.021)).passes


@pytest.mark.parametrize("actual", [SCORES[:, :4], SCORES[:0], np.float32(0) * SCORES[0, 0]])
def test_another_shape_does_not_pass(actual: NDArray[np.float32]) -> None:
    assert not check("scores", np.asarray(actual)).passes


def test_nan_does_not_pass() -> None:
    assert not check("scores", np.full_like(SCORES, np.nan)).passes


def test_a_failed_check_says_what_is_allowed() -> None:
    assert str(check("scores", SCORES)) == "scores differs by 0.0e+00, at most 0.0e+00"
    assert str(check("scores", SCORES + 1)).endswith("; allowed: 1.1e-02 and 2.0e-01")

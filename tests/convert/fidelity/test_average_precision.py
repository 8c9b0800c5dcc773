"""Mean average precision by hand."""

from dataclasses import replace

import numpy as np
import pytest

from convert.fidelity.average_precision import TrueBoxes, mean_average_precision
from runtime.predict.detection import Boxes

PLACES = np.array([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]], np.float32)
HALF_PX = np.array([5, 0, 5, 0], np.float32)  # an IoU of a third


def served(places: list[int], scores: list[float], classes: list[int] | None = None) -> Boxes:
    ids = np.array(classes or [0] * len(places), np.int64)
    order = np.argsort(-np.array(scores))
    boxes, values = PLACES[places][order], np.array(scores, np.float32)[order]
    return Boxes(boxes, values, ids[order], None, order)


def true(places: list[int], classes: list[int] | None = None) -> TrueBoxes:
    return TrueBoxes(PLACES[places], np.array(classes or [0] * len(places), np.int64))


def precision(found: list[Boxes], truth: list[TrueBoxes], *weights: list[int]) -> list[float]:
    rows = np.array(weights or [[1] * len(found)], np.float64)
    return mean_average_precision(found, truth, rows).tolist()


def test_the_area_under_the_envelope() -> None:
    # by score: right, wrong, right; one of three labelled boxes is never found
    found = [served([0, 2], [0.9, 0.8]), served([1], [0.7])]
    truth = [true([0, 1]), true([1])]
    assert precision(found, truth) == [pytest.approx(1 / 3 * 1 + 1 / 3 * 2 / 3)]
    # the second image three times: two more labelled boxes and two more that are found
    assert precision(found, truth, [1, 3], [1, 0], [0, 0]) == pytest.approx(
        [1 / 5 * 1 + 3 / 5 * 4 / 5, 1 / 2, 0]
    )


def test_a_later_precision_counts_for_recalls_before_it() -> None:
    # wrong, right, right: precision 1/2 and then 2/3, which is the envelope of both
    found = [served([0, 1, 2], [0.7, 0.8, 0.9])]
    assert precision(found, [true([0, 1])]) == [pytest.approx(2 / 3)]


def test_a_box_is_found_once_and_by_its_class() -> None:
    twice = [served([0, 0], [0.9, 0.8]), served([1], [0.7])]
    truth = [true([0]), true([1])]
    assert precision(twice, truth) == [pytest.approx(1 / 2 + 1 / 2 * 2 / 3)]
    other_class = [served([0, 1], [0.9, 0.8], [1, 0])]
    assert precision(other_class, [true([0, 1], [0, 0])]) == [pytest.approx(1 / 2)]
    half = replace(served([0], [0.9]), boxes_xyxy=PLACES[:1] + HALF_PX)
    assert precision([half], [true([0])]) == [0]


def test_the_mean_is_over_labelled_classes() -> None:
    found = [served([0, 1, 2], [0.9, 0.8, 0.7], [0, 1, 2])]  # 2 is labelled nowhere
    assert precision(found, [true([0, 2], [0, 1])]) == [pytest.approx(1 / 2)]
    assert precision([served([0], [0.9])], [true([])]) == [0]
    assert precision([served([], [])], [true([0])]) == [0]

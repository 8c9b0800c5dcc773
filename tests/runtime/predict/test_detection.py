"""Non-maximum suppression against OpenCV and a slow reference; boxes back in source px."""

import time

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.artifact.manifest import NmsConfig
from runtime.media.images.geometry import Placement
from runtime.predict.detection import MOST_CANDIDATES, Kept, non_max_suppression, to_source

Floats = NDArray[np.float32]
LOOSE = NmsConfig(score_threshold=0.25, iou_threshold=0.5, max_detections=300)


def crowd(
    count: int, classes: int, seed: int = 0, *, span_px: float = 100.0
) -> tuple[Floats, Floats]:
    """Boxes that overlap a lot, and scores of which a third is above 0.25 in the best class."""
    draw = np.random.default_rng(seed)
    centre, size = draw.uniform(0, span_px, (count, 2)), draw.uniform(5, 40, (count, 2))
    boxes = np.hstack([centre - size / 2, centre + size / 2]).astype(np.float32)
    return boxes, (draw.random((count, classes)) ** (3 * classes)).astype(np.float32)


def boxes_of(*rows: tuple[float, float, float, float]) -> Floats:
    return np.array(rows, np.float32)


def scores_of(*rows: tuple[float, ...]) -> Floats:
    return np.array(rows, np.float32)


def iou(first: Floats, second: Floats) -> float:
    a, b = first.astype(float), second.astype(float)
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(wide, 0.0) * max(high, 0.0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return float(shared / union)


def slowly(boxes: Floats, scores: Floats, rules: NmsConfig) -> list[tuple[int, int]]:
    """(row, class) of the boxes that count: the definition, box by box."""
    ranked = sorted(range(len(boxes)), key=lambda row: -scores[row].max())
    kept: list[tuple[int, int]] = []
    for row in ranked:
        kind = int(scores[row].argmax())
        rivals = [boxes[other] for other, its in kept if its == kind]
        if scores[row].max() > rules.score_threshold and all(
            iou(boxes[row], rival) <= rules.iou_threshold for rival in rivals
        ):
            kept.append((row, kind))
    return kept[: rules.max_detections]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("classes", [1, 4])
@pytest.mark.parametrize("rules", [LOOSE, NmsConfig(0.05, 0.7, 20), NmsConfig(0.0, 0.0, 1000)])
def test_suppression_is_the_definition(seed: int, classes: int, rules: NmsConfig) -> None:
    boxes, scores = crowd(600, classes, seed)
    wanted = slowly(boxes, scores, rules)
    kept = non_max_suppression(boxes, scores, rules)
    rows = [row for row, _ in wanted]
    np.testing.assert_array_equal(kept.boxes_xyxy, boxes[rows])
    np.testing.assert_array_equal(kept.scores, scores[rows].max(axis=1))
    assert kept.classes.tolist() == [kind for _, kind in wanted]
    assert kept.rows.tolist() == rows
    dtypes = [array.dtype.name for array in (kept.boxes_xyxy, kept.scores, kept.classes)]
    assert dtypes == ["float32", "float32", "int64"]


@pytest.mark.parametrize("seed", range(4))
def test_suppression_is_that_of_opencv(seed: int) -> None:
    boxes, scores = crowd(2000, 1, seed, span_px=400.0)
    corners, sizes = boxes[:, :2].astype(float), (boxes[:, 2:] - boxes[:, :2]).astype(float)
    found = cv2.dnn.NMSBoxes(np.hstack([corners, sizes]).tolist(), scores[:, 0].tolist(), 0.25, 0.5)
    kept = non_max_suppression(boxes, scores, NmsConfig(0.25, 0.5, 1000))
    np.testing.assert_array_equal(kept.boxes_xyxy, boxes[np.asarray(found).ravel()])


def test_overlap_at_the_threshold_stays() -> None:
    # shared 50 of 150 px: an overlap of exactly 1/3
    boxes = boxes_of((0, 0, 10, 10), (0, 5, 10, 15))
    scores = scores_of((0.9,), (0.8,))
    assert len(non_max_suppression(boxes, scores, NmsConfig(0.5, 0.3334, 9)).scores) == 2
    assert len(non_max_suppression(boxes, scores, NmsConfig(0.5, 0.3333, 9)).scores) == 1
    assert len(non_max_suppression(boxes[[0, 0]], scores, NmsConfig(0.5, 1.0, 9)).scores) == 2


def test_score_at_the_threshold_goes() -> None:
    boxes = boxes_of((0, 0, 1, 1), (5, 5, 6, 6))
    kept = non_max_suppression(boxes, scores_of((0.5,), (0.75,)), NmsConfig(0.5, 0.5, 9))
    assert kept.scores.tolist() == [0.75]


def test_boxes_of_different_classes_leave_each_other_alone() -> None:
    boxes = boxes_of((0, 0, 10, 10), (0, 0, 10, 10))
    apart = non_max_suppression(boxes, scores_of((0.9, 0.1), (0.1, 0.8)), LOOSE)
    assert apart.classes.tolist() == [0, 1]
    together = non_max_suppression(boxes, scores_of((0.9, 0.1), (0.8, 0.1)), LOOSE)
    assert together.classes.tolist() == [0]


def test_of_equals_the_first_wins() -> None:
    boxes = boxes_of((0, 0, 10, 9), (0, 0, 10, 10), (50, 0, 60, 10))
    kept = non_max_suppression(boxes, scores_of((0.7, 0.7), (0.7, 0.7), (0.7, 0.7)), LOOSE)
    np.testing.assert_array_equal(kept.boxes_xyxy, boxes[[0, 2]])
    assert kept.classes.tolist() == [0, 0]


def test_many_equals_are_kept_in_their_order() -> None:
    # two levels in turns, as a sort that is not stable may leave one level alone as it is
    corner = np.arange(5000, dtype=np.float32) * 20
    boxes = np.stack([corner, corner, corner + 10, corner + 10], axis=1)
    scores = np.resize(np.array([[0.5], [0.75]], np.float32), (5000, 1))
    kept = non_max_suppression(boxes, scores, LOOSE)
    np.testing.assert_array_equal(kept.boxes_xyxy, boxes[1:600:2])


def test_the_best_are_kept_where_there_are_too_many() -> None:
    corner = np.arange(50, dtype=np.float32) * 20
    boxes = np.stack([corner, corner, corner + 10, corner + 10], axis=1)
    scores = np.linspace(0.3, 0.8, 50, dtype=np.float32)[:, np.newaxis]
    kept = non_max_suppression(boxes, scores, NmsConfig(0.25, 0.5, 7))
    np.testing.assert_array_equal(kept.scores, scores[:-8:-1, 0])


@pytest.mark.parametrize(
    "box",
    [
        (5, 5, 5, 9),
        (5, 5, 9, 5),
        (9, 5, 5, 9),
        (5, 9, 9, 5),
        (float("nan"), 0, 9, 9),
        (0, 0, float("inf"), 9),
        (-float("inf"), 0, 9, 9),
    ],
)
def test_boxes_without_area_or_number_go(box: tuple[float, float, float, float]) -> None:
    boxes = boxes_of(box, (0, 0, 9, 9))
    kept = non_max_suppression(boxes, scores_of((0.9,), (0.8,)), LOOSE)
    np.testing.assert_array_equal(kept.boxes_xyxy, boxes[1:])


def test_scores_that_are_not_numbers_go() -> None:
    boxes = boxes_of((0, 0, 9, 9), (20, 0, 29, 9))
    kept = non_max_suppression(boxes, scores_of((float("nan"), 0.9), (0.8, 0.1)), LOOSE)
    np.testing.assert_array_equal(kept.boxes_xyxy, boxes[1:])


def test_the_largest_boxes_of_float32_do_not_overflow() -> None:
    edge = float(np.finfo(np.float32).max)
    boxes = boxes_of((-edge, -edge, edge, edge), (-edge, -edge, edge, edge), (0, 0, edge, edge))
    kept = non_max_suppression(boxes, scores_of((0.9,), (0.8,), (0.7,)), LOOSE)
    np.testing.assert_array_equal(kept.boxes_xyxy, boxes[[0, 2]])


def test_nothing_found_is_empty() -> None:
    boxes, scores = crowd(20, 3)
    points = np.zeros((20, 5, 2), np.float32)
    kept = non_max_suppression(boxes, scores * 0, LOOSE, points)
    assert kept.keypoints is not None
    shapes = (kept.boxes_xyxy.shape, kept.scores.shape, kept.classes.shape, kept.keypoints.shape)
    assert shapes == ((0, 4), (0,), (0,), (0, 5, 2))
    back = to_source(kept, Placement(1, 1, 0, 0), height=9, width=9)
    assert back.boxes_xyxy.shape == (0, 4)


def test_keypoints_follow_their_boxes() -> None:
    boxes = boxes_of((0, 0, 10, 10), (0, 0, 10, 11), (50, 0, 60, 10))
    points = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    kept = non_max_suppression(boxes, scores_of((0.6,), (0.9,), (0.7,)), LOOSE, points)
    assert kept.keypoints is not None
    np.testing.assert_array_equal(kept.keypoints, points[[1, 2]])


def test_candidates_are_bounded_to_the_best() -> None:
    count = MOST_CANDIDATES + 5
    boxes = np.tile(boxes_of((0, 0, 10, 10)), (count, 1))
    boxes[0] = (50, 50, 60, 60)  # alone, but the worst
    scores = np.linspace(0.3, 0.9, count, dtype=np.float32)[:, np.newaxis]
    kept = non_max_suppression(boxes, scores, LOOSE)
    np.testing.assert_array_equal(kept.boxes_xyxy, boxes[-1:])


def test_a_crowd_takes_no_seconds() -> None:
    # 400 heaps of 100 boxes: each group is compared with all heaps, and the end comes late
    heap = np.repeat(np.arange(400, dtype=np.float32) * 20, 100)
    boxes = np.stack([heap, heap, heap + 10, heap + 10], axis=1)
    scores = np.random.default_rng(0).random((len(boxes), 1), np.float32)
    start = time.perf_counter()
    kept = non_max_suppression(boxes, scores, NmsConfig(0.0, 0.5, 1000))
    assert len(kept.scores) == 400
    assert time.perf_counter() - start < 5  # about 0.1 s on a free core; a loop over pairs: minutes


def test_boxes_go_back_to_the_source() -> None:
    kept = Kept(
        boxes_xyxy=boxes_of((10, 30, 20, 60), (-5, 25, 300, 130)),
        scores=np.array([0.9, 0.8], np.float32),
        classes=np.array([1, 0]),
        keypoints=np.array([[[10, 20]], [[110, 120]]], np.float32),
        rows=np.array([4, 7]),
    )
    back = to_source(kept, Placement(0.5, 2.0, 0.0, 20.0), height=50, width=200)
    assert back.boxes_xyxy.tolist() == [[20, 5, 40, 20], [0, 2.5, 200, 50]]
    assert back.keypoints is not None
    assert back.keypoints.tolist() == [[[20, 0]], [[220, 50]]]  # beyond the edge of 200 px
    assert back.boxes_xyxy.dtype.name == back.keypoints.dtype.name == "float32"


def test_boxes_in_the_padding_are_left_out() -> None:
    kept = Kept(
        boxes_xyxy=boxes_of((0, 0, 50, 19), (0, 0, 50, 21)),
        scores=np.array([0.9, 0.8], np.float32),
        classes=np.array([0, 1]),
        keypoints=np.zeros((2, 1, 2), np.float32),
        rows=np.array([4, 7]),
    )
    back = to_source(kept, Placement(1.0, 1.0, 0.0, 20.0), height=50, width=100)
    assert back.boxes_xyxy.tolist() == [[0, 0, 50, 1]]
    assert back.scores.tolist() == pytest.approx([0.8])
    assert back.classes.tolist() == [1]
    assert back.rows.tolist() == [7]
    assert back.keypoints is not None
    assert back.keypoints.shape == (1, 1, 2)

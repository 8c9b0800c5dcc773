"""Non-maximum suppression against OpenCV and a slow reference; boxes in_source in source px."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.artifact.manifest import NmsConfig
from runtime.media.images.geometry import Placement
from runtime.predict import detection
from runtime.predict.detection import MOST_CANDIDATES, Boxes, non_max_suppression, to_source

Floats = NDArray[np.float32]
LOOSE = NmsConfig(score_threshold=0.25, iou_threshold=0.5, max_detections=300)


def crowd(
    count: int, classes: int, seed: int = 0, *, span_px: float = 100.0
) -> tuple[Floats, Floats]:
    """Return boxes that overlap much, a third of them with a best score above 0.25."""
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
    intersection = max(wide, 0.0) * max(high, 0.0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - intersection
    return float(intersection / union)


def reference_nms(boxes: Floats, scores: Floats, rules: NmsConfig) -> list[tuple[int, int]]:
    """Apply the definition box by box; return (row, class) of the survivors."""
    ranking = sorted(range(len(boxes)), key=lambda row: -scores[row].max())
    result: list[tuple[int, int]] = []
    for row in ranking:
        kind = int(scores[row].argmax())
        rivals = [boxes[other] for other, other_kind in result if other_kind == kind]
        if scores[row].max() > rules.score_threshold and all(
            iou(boxes[row], rival) <= rules.iou_threshold for rival in rivals
        ):
            result.append((row, kind))
    return result[: rules.max_detections]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("classes", [1, 4])
@pytest.mark.parametrize("rules", [LOOSE, NmsConfig(0.05, 0.7, 20), NmsConfig(0.0, 0.0, 1000)])
def test_suppression_equals_the_definition(seed: int, classes: int, rules: NmsConfig) -> None:
    boxes, scores = crowd(600, classes, seed)
    expected = reference_nms(boxes, scores, rules)
    result = non_max_suppression(boxes, scores, rules)
    rows = [row for row, _ in expected]
    np.testing.assert_array_equal(result.boxes_xyxy, boxes[rows])
    np.testing.assert_array_equal(result.scores, scores[rows].max(axis=1))
    assert result.classes.tolist() == [kind for _, kind in expected]
    assert result.rows.tolist() == rows
    dtypes = [array.dtype.name for array in (result.boxes_xyxy, result.scores, result.classes)]
    assert dtypes == ["float32", "float32", "int64"]


@pytest.mark.parametrize("seed", range(4))
def test_suppression_equals_opencvs(seed: int) -> None:
    boxes, scores = crowd(2000, 1, seed, span_px=400.0)
    corners, sizes = boxes[:, :2].astype(float), (boxes[:, 2:] - boxes[:, :2]).astype(float)
    rows = cv2.dnn.NMSBoxes(np.hstack([corners, sizes]).tolist(), scores[:, 0].tolist(), 0.25, 0.5)
    result = non_max_suppression(boxes, scores, NmsConfig(0.25, 0.5, 1000))
    np.testing.assert_array_equal(result.boxes_xyxy, boxes[np.asarray(rows).ravel()])


def test_an_overlap_at_the_threshold_is_allowed() -> None:
    # an intersection of 50 of 150 px: an overlap of exactly 1/3
    boxes = boxes_of((0, 0, 10, 10), (0, 5, 10, 15))
    scores = scores_of((0.9,), (0.8,))
    assert len(non_max_suppression(boxes, scores, NmsConfig(0.5, 0.3334, 9)).scores) == 2
    assert len(non_max_suppression(boxes, scores, NmsConfig(0.5, 0.3333, 9)).scores) == 1
    assert len(non_max_suppression(boxes[[0, 0]], scores, NmsConfig(0.5, 1.0, 9)).scores) == 2


def test_a_score_at_the_threshold_is_too_low() -> None:
    boxes = boxes_of((0, 0, 1, 1), (5, 5, 6, 6))
    result = non_max_suppression(boxes, scores_of((0.5,), (0.75,)), NmsConfig(0.5, 0.5, 9))
    assert result.scores.tolist() == [0.75]


def test_boxes_of_different_classes_do_not_suppress_each_other() -> None:
    boxes = boxes_of((0, 0, 10, 10), (0, 0, 10, 10))
    apart = non_max_suppression(boxes, scores_of((0.9, 0.1), (0.1, 0.8)), LOOSE)
    assert apart.classes.tolist() == [0, 1]
    together = non_max_suppression(boxes, scores_of((0.9, 0.1), (0.8, 0.1)), LOOSE)
    assert together.classes.tolist() == [0]


def test_of_equal_boxes_the_first_survives() -> None:
    boxes = boxes_of((0, 0, 10, 9), (0, 0, 10, 10), (50, 0, 60, 10))
    result = non_max_suppression(boxes, scores_of((0.7, 0.7), (0.7, 0.7), (0.7, 0.7)), LOOSE)
    np.testing.assert_array_equal(result.boxes_xyxy, boxes[[0, 2]])
    assert result.classes.tolist() == [0, 0]


def test_equal_scores_keep_their_order() -> None:
    # two alternating levels: an unstable sort may by chance keep the order of a single level
    corner = np.arange(5000, dtype=np.float32) * 20
    boxes = np.stack([corner, corner, corner + 10, corner + 10], axis=1)
    scores = np.resize(np.array([[0.5], [0.75]], np.float32), (5000, 1))
    result = non_max_suppression(boxes, scores, LOOSE)
    np.testing.assert_array_equal(result.boxes_xyxy, boxes[1:600:2])


def test_the_best_boxes_survive_the_limit() -> None:
    corner = np.arange(50, dtype=np.float32) * 20
    boxes = np.stack([corner, corner, corner + 10, corner + 10], axis=1)
    scores = np.linspace(0.3, 0.8, 50, dtype=np.float32)[:, np.newaxis]
    result = non_max_suppression(boxes, scores, NmsConfig(0.25, 0.5, 7))
    np.testing.assert_array_equal(result.scores, scores[:-8:-1, 0])


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
def test_boxes_without_area_or_with_nan_are_removed(box: tuple[float, float, float, float]) -> None:
    boxes = boxes_of(box, (0, 0, 9, 9))
    result = non_max_suppression(boxes, scores_of((0.9,), (0.8,)), LOOSE)
    np.testing.assert_array_equal(result.boxes_xyxy, boxes[1:])


def test_boxes_with_nan_scores_are_removed() -> None:
    boxes = boxes_of((0, 0, 9, 9), (20, 0, 29, 9))
    result = non_max_suppression(boxes, scores_of((float("nan"), 0.9), (0.8, 0.1)), LOOSE)
    np.testing.assert_array_equal(result.boxes_xyxy, boxes[1:])


def test_the_largest_boxes_of_float32_do_not_overflow() -> None:
    edge = float(np.finfo(np.float32).max)
    boxes = boxes_of((-edge, -edge, edge, edge), (-edge, -edge, edge, edge), (0, 0, edge, edge))
    result = non_max_suppression(boxes, scores_of((0.9,), (0.8,), (0.7,)), LOOSE)
    np.testing.assert_array_equal(result.boxes_xyxy, boxes[[0, 2]])


def test_without_survivors_the_arrays_are_empty() -> None:
    boxes, scores = crowd(20, 3)
    points = np.zeros((20, 5, 2), np.float32)
    result = non_max_suppression(boxes, scores * 0, LOOSE, points)
    assert result.keypoints is not None
    shapes = (
        result.boxes_xyxy.shape,
        result.scores.shape,
        result.classes.shape,
        result.keypoints.shape,
    )
    assert shapes == ((0, 4), (0,), (0,), (0, 5, 2))
    in_source = to_source(result, Placement(1, 1, 0, 0), height=9, width=9)
    assert in_source.boxes_xyxy.shape == (0, 4)


def test_keypoints_follow_their_boxes() -> None:
    boxes = boxes_of((0, 0, 10, 10), (0, 0, 10, 11), (50, 0, 60, 10))
    points = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    result = non_max_suppression(boxes, scores_of((0.6,), (0.9,), (0.7,)), LOOSE, points)
    assert result.keypoints is not None
    np.testing.assert_array_equal(result.keypoints, points[[1, 2]])


def test_only_the_best_candidates_are_compared() -> None:
    count = MOST_CANDIDATES + 5
    boxes = np.tile(boxes_of((0, 0, 10, 10)), (count, 1))
    boxes[0] = (50, 50, 60, 60)  # overlaps no other box, but has the worst score
    scores = np.linspace(0.3, 0.9, count, dtype=np.float32)[:, np.newaxis]
    result = non_max_suppression(boxes, scores, LOOSE)
    np.testing.assert_array_equal(result.boxes_xyxy, boxes[-1:])


def test_a_crowd_is_not_compared_with_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    # 400 heaps of 100 boxes: the search for 1000 survivors goes through all of them
    comparisons: list[int] = []
    real = detection._apart

    def counting(better: Floats, others: Floats, iou_threshold: float) -> NDArray[np.bool_]:
        comparisons.append(better.shape[1] * others.shape[1])
        return real(better, others, iou_threshold)

    monkeypatch.setattr(detection, "_apart", counting)
    heap = np.repeat(np.arange(400, dtype=np.float32) * 20, 100)
    boxes = np.stack([heap, heap, heap + 10, heap + 10], axis=1)
    scores = np.random.default_rng(0).random((len(boxes), 1), np.float32)
    result = non_max_suppression(boxes, scores, NmsConfig(0.0, 0.5, 1000))
    assert len(result.scores) == 400
    # each box meets the survivors and its group; all pairs of boxes would be 9e8
    assert sum(comparisons) <= MOST_CANDIDATES * (400 + detection._GROUP)


def test_boxes_are_converted_to_px_of_the_source() -> None:
    boxes = Boxes(
        boxes_xyxy=boxes_of((10, 30, 20, 60), (-5, 25, 300, 130)),
        scores=np.array([0.9, 0.8], np.float32),
        classes=np.array([1, 0]),
        keypoints=np.array([[[10, 20]], [[110, 120]]], np.float32),
        rows=np.array([4, 7]),
    )
    in_source = to_source(boxes, Placement(0.5, 2.0, 0.0, 20.0), height=50, width=200)
    assert in_source.boxes_xyxy.tolist() == [[20, 5, 40, 20], [0, 2.5, 200, 50]]
    assert in_source.keypoints is not None
    assert in_source.keypoints.tolist() == [[[20, 0]], [[220, 50]]]  # beyond the edge of 200 px
    assert in_source.boxes_xyxy.dtype.name == in_source.keypoints.dtype.name == "float32"


def test_boxes_in_the_padding_are_removed() -> None:
    boxes = Boxes(
        boxes_xyxy=boxes_of((0, 0, 50, 19), (0, 0, 50, 21)),
        scores=np.array([0.9, 0.8], np.float32),
        classes=np.array([0, 1]),
        keypoints=np.zeros((2, 1, 2), np.float32),
        rows=np.array([4, 7]),
    )
    in_source = to_source(boxes, Placement(1.0, 1.0, 0.0, 20.0), height=50, width=100)
    assert in_source.boxes_xyxy.tolist() == [[0, 0, 50, 1]]
    assert in_source.scores.tolist() == pytest.approx([0.8])
    assert in_source.classes.tolist() == [1]
    assert in_source.rows.tolist() == [7]
    assert in_source.keypoints is not None
    assert in_source.keypoints.shape == (1, 1, 2)

"""Non-maximum suppression of a detector's boxes, and their place in px of the source image.

`convert` measures the fidelity of detectors with these functions too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.artifact.manifest import NmsConfig, Spec
from runtime.errors import ModelOutputError
from runtime.media.images.geometry import Placement, place

Floats = NDArray[np.float32]

# With untrained weights or a threshold of 0 every anchor is a candidate. The slowest list of this
# length takes 0.1 s if 300 boxes are kept (the 8400 anchors of 640 x 640 px: 3 ms). Only graphs
# beyond 1200 px have more than 30 000 anchors; ultralytics has the same limit.
MOST_CANDIDATES = 30_000
_GROUP = 256  # boxes that are compared at once: 0.5 MB for each term of the overlap


@dataclass(frozen=True, slots=True)
class Boxes:
    """The boxes of one image that are left after suppression, best first."""

    boxes_xyxy: Floats  # (M, 4) left, top, right, bottom
    scores: Floats  # (M,)
    classes: NDArray[np.int64]  # (M,) index of the best score
    keypoints: Floats | None  # (M, P, 2) x, y
    rows: NDArray[np.int64]  # (M,) index in the graph's boxes


def detect(
    outputs: Mapping[str, NDArray[np.generic]],
    spec: Spec,
    *,
    height: int,
    width: int,
    any_class: bool = False,
) -> Boxes:
    """Return the boxes of one image after suppression, in px of the source image.

    Args:
        outputs: of the graph, with a batch axis of size 1: `boxes_xyxy`, `scores` and, where the
            graph has them, `keypoints`.
        spec: of the detector.
        height: px, of the source image.
        width: px, of the source image.
        any_class: keep one box per place whatever its class; otherwise each class keeps its own.

    Raises:
        ModelOutputError: scores are NaN. No threshold would pass them, so the answer would look
            like that of an image without objects.
    """
    assert spec.suppression is not None  # read_manifest refuses a detector without it
    boxes, scores = (np.asarray(outputs[name][0], np.float32) for name in ("boxes_xyxy", "scores"))
    points = np.asarray(outputs["keypoints"][0], np.float32) if "keypoints" in outputs else None
    if np.isnan(scores).any():
        raise ModelOutputError(f"{spec.id} returned scores that are not numbers")
    if any_class:
        scores = scores.max(axis=1, keepdims=True)
    best = non_max_suppression(boxes, scores, spec.suppression, points)
    return to_source(best, place(height, width, spec.preprocess), height=height, width=width)


def non_max_suppression(
    boxes_xyxy: Floats, scores: Floats, suppression: NmsConfig, keypoints: Floats | None = None
) -> Boxes:
    """Apply the score threshold and class-wise non-maximum suppression to one image's boxes.

    The class of a box is the one with its best score, the first of equals. A box is removed if its
    overlap (intersection over union) with a better box of its class is above the threshold; of
    equal scores the earlier box is the better. Boxes without area and boxes with numbers that are
    not finite are always removed.

    Args:
        boxes_xyxy: (A, 4) float32, any unit.
        scores: (A, K) float32.
        suppression: the thresholds and the largest number of boxes.
        keypoints: (A, P, 2) float32, or None.

    Returns:
        At most `suppression.max_detections` boxes, in the unit of `boxes_xyxy`.
    """
    best = scores.max(axis=1)
    candidates = np.flatnonzero(best > suppression.score_threshold)  # False for NaN
    candidates = candidates[_has_area(boxes_xyxy[candidates])]
    candidates = candidates[np.argsort(-best[candidates], kind="stable")][:MOST_CANDIDATES]
    classes = scores[candidates].argmax(axis=1)
    survivors = _survivors(boxes_xyxy[candidates].astype(np.float64), classes, suppression)
    rows = candidates[survivors]
    return Boxes(
        boxes_xyxy=boxes_xyxy[rows],
        scores=best[rows],
        classes=classes[survivors].astype(np.int64),
        keypoints=None if keypoints is None else keypoints[rows],
        rows=rows.astype(np.int64),
    )


def to_source(boxes: Boxes, placement: Placement, *, height: int, width: int) -> Boxes:
    """Convert boxes from px of the graph's input to px of the source image.

    Args:
        boxes: in px of the graph's input.
        placement: scale and offset of the source image in the graph's input.
        height: of the source image, px.
        width: of the source image, px.

    Returns:
        Boxes clipped to the image, without those that lie wholly in the padding. Keypoints are not
        clipped: the corner of a mouth may lie beyond the edge.
    """
    offset = np.array([placement.left, placement.top])
    scale = np.array([placement.scale_x, placement.scale_y])
    corners = (boxes.boxes_xyxy.reshape(-1, 2, 2) - offset) / scale
    clipped = corners.clip(0, [width, height]).reshape(-1, 4).astype(np.float32)
    inside = _has_area(clipped)
    points = boxes.keypoints
    if points is not None:
        points = ((points - offset) / scale).astype(np.float32)[inside]
    return Boxes(
        boxes_xyxy=clipped[inside],
        scores=boxes.scores[inside],
        classes=boxes.classes[inside],
        keypoints=points,
        rows=boxes.rows[inside],
    )


def _has_area(boxes: Floats) -> NDArray[np.bool_]:
    positive = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return positive & np.isfinite(boxes).all(axis=1)


def _survivors(
    boxes: NDArray[np.float64], classes: NDArray[np.int64], suppression: NmsConfig
) -> NDArray[np.int64]:
    """Return the rows that no better row of their class covers, best first.

    The boxes come best first. They are compared in groups with the survivors so far, and the
    search ends with enough survivors, so a crowd is not compared with all of itself.
    """
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    columns = np.vstack([boxes.T, width * height, classes])
    survivors = np.empty(0, np.int64)
    for start in range(0, len(boxes), _GROUP):
        rows = np.arange(start, min(start + _GROUP, len(boxes)))
        apart = _apart(columns[:, survivors], columns[:, rows], suppression.iou_threshold)
        rows = rows[apart.all(axis=0)]
        apart = _apart(columns[:, rows], columns[:, rows], suppression.iou_threshold)
        survivors = np.concatenate([survivors, rows[_greedy(apart)]])
        if len(survivors) >= suppression.max_detections:
            break
    return survivors[: suppression.max_detections]


def _apart(better: NDArray[Any], others: NDArray[Any], iou_threshold: float) -> NDArray[np.bool_]:
    """Return (M, R): True where boxes do not suppress each other.

    Args:
        better: (6, M) rows x1, y1, x2, y2, area and class. In float64, in which the area of no
            float32 box overflows.
        others: (6, R), the same rows.
        iou_threshold: boxes of one class with a larger overlap suppress each other.
    """
    x1, y1, x2, y2, area, kind = better[:, :, np.newaxis]
    width = np.minimum(x2, others[2]) - np.maximum(x1, others[0])
    height = np.minimum(y2, others[3]) - np.maximum(y1, others[1])
    intersection = np.maximum(width, 0.0) * np.maximum(height, 0.0)
    apart: NDArray[np.bool_] = intersection <= iou_threshold * (area + others[4] - intersection)
    apart |= kind != others[5]
    return apart


def _greedy(apart: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return (R,): True for the rows that survive when each survivor suppresses later rows."""
    survives = np.ones(len(apart), np.bool_)
    for row, apart_from_row in enumerate(apart):
        if survives[row]:
            survives[row + 1 :] &= apart_from_row[row + 1 :]
    return survives

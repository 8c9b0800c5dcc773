"""From the boxes of a graph to those that count, and from graph pixels back to the source's.

`convert` measures fidelity after the same suppression, with these functions.
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

# Every anchor may count: weights that learned nothing, a threshold of 0. The worst of these lists
# takes 0.1 s where 300 boxes are kept (8400 anchors of 640 x 640 px: 3 ms). Only graphs beyond
# 1200 px have more than 30 000 anchors; ultralytics stops there too.
MOST_CANDIDATES = 30_000
_AT_ONCE = 256  # boxes compared with each other at once: 0.5 MB for each term of the overlap


@dataclass(frozen=True, slots=True)
class Kept:
    """Boxes that count, best first."""

    boxes_xyxy: Floats  # (M, 4) left, top, right, bottom
    scores: Floats  # (M,)
    classes: NDArray[np.int64]  # (M,) index of the best score
    keypoints: Floats | None  # (M, P, 2) x, y
    rows: NDArray[np.int64]  # (M,) which of the boxes given, for what else is known of them


def detect(
    outputs: Mapping[str, NDArray[np.generic]],
    spec: Spec,
    *,
    height: int,
    width: int,
    any_class: bool = False,
) -> Kept:
    """Return the boxes of one image that count, in px of the source.

    Args:
        outputs: of the graph, with a batch axis of size 1: `boxes_xyxy`, `scores` and, where the
            graph has them, `keypoints`.
        spec: of the detector.
        height: px, of the source image.
        width: px, of the source image.
        any_class: keep one box per place, where otherwise each class keeps its own.

    Raises:
        ModelOutputError: scores are NaN. No threshold would pass them, so the answer would look
            like that of an image without objects.
    """
    assert spec.suppression is not None  # the manifest refuses a detector without
    boxes, scores = (np.asarray(outputs[name][0], np.float32) for name in ("boxes_xyxy", "scores"))
    points = np.asarray(outputs["keypoints"][0], np.float32) if "keypoints" in outputs else None
    if np.isnan(scores).any():
        raise ModelOutputError(f"{spec.id} gave scores that are not numbers")
    if any_class:
        scores = scores.max(axis=1, keepdims=True)
    kept = non_max_suppression(boxes, scores, spec.suppression, points)
    return to_source(kept, place(height, width, spec.preprocess), height=height, width=width)


def non_max_suppression(
    boxes_xyxy: Floats, scores: Floats, suppression: NmsConfig, keypoints: Floats | None = None
) -> Kept:
    """Threshold and class-wise non-maximum suppression of one image's boxes.

    A box is of the class it scores best in, the first of equals. Boxes of one class that overlap a
    better one by an intersection over union above the threshold go; of equal scores the earlier box
    is the better. Boxes without area and numbers that are not finite are never kept.

    Args:
        boxes_xyxy: (A, 4) float32, any unit.
        scores: (A, K) float32.
        suppression: the thresholds, and how many boxes at most.
        keypoints: (A, P, 2) float32, or None.

    Returns:
        At most `suppression.max_detections` boxes in the unit given.
    """
    best = scores.max(axis=1)
    wanted = np.flatnonzero(best > suppression.score_threshold)  # false for what is not a number
    wanted = wanted[_has_area(boxes_xyxy[wanted])]
    wanted = wanted[np.argsort(-best[wanted], kind="stable")][:MOST_CANDIDATES]
    classes = scores[wanted].argmax(axis=1)
    rows = _survivors(boxes_xyxy[wanted].astype(np.float64), classes, suppression)
    chosen = wanted[rows]
    return Kept(
        boxes_xyxy=boxes_xyxy[chosen],
        scores=best[chosen],
        classes=classes[rows].astype(np.int64),
        keypoints=None if keypoints is None else keypoints[chosen],
        rows=chosen.astype(np.int64),
    )


def to_source(kept: Kept, placement: Placement, *, height: int, width: int) -> Kept:
    """Take boxes back from graph px to px of the source image.

    Args:
        kept: in graph px.
        placement: where the source lies in the graph's input.
        height: px, of the source.
        width: px, of the source.

    Returns:
        Boxes clipped to the image; those that lie wholly outside, in the padding, are left out.
        Keypoints are not clipped: a corner of a mouth may be beyond the edge.
    """
    offset = np.array([placement.left, placement.top])
    scale = np.array([placement.scale_x, placement.scale_y])
    corners = (kept.boxes_xyxy.reshape(-1, 2, 2) - offset) / scale
    boxes = corners.clip(0, [width, height]).reshape(-1, 4).astype(np.float32)
    inside = _has_area(boxes)
    points = kept.keypoints
    if points is not None:
        points = ((points - offset) / scale).astype(np.float32)[inside]
    return Kept(
        boxes_xyxy=boxes[inside],
        scores=kept.scores[inside],
        classes=kept.classes[inside],
        keypoints=points,
        rows=kept.rows[inside],
    )


def _has_area(boxes: Floats) -> NDArray[np.bool_]:
    positive = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return positive & np.isfinite(boxes).all(axis=1)


def _survivors(
    boxes: NDArray[np.float64], classes: NDArray[np.int64], suppression: NmsConfig
) -> NDArray[np.int64]:
    """Rows that no better row of their class covers; `boxes` come best first.

    In groups, so that a crowd is not compared with itself: it ends with enough boxes kept.
    """
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    columns = np.vstack([boxes.T, width * height, classes])
    kept = np.empty(0, np.int64)
    for start in range(0, len(boxes), _AT_ONCE):
        rows = np.arange(start, min(start + _AT_ONCE, len(boxes)))
        free = _free(columns[:, kept], columns[:, rows], suppression.iou_threshold)
        rows = rows[free.all(axis=0)]
        free = _free(columns[:, rows], columns[:, rows], suppression.iou_threshold)
        kept = np.concatenate([kept, rows[_greedy(free)]])
        if len(kept) >= suppression.max_detections:
            break
    return kept[: suppression.max_detections]


def _free(better: NDArray[Any], others: NDArray[Any], iou_threshold: float) -> NDArray[np.bool_]:
    """(M, R): which of R boxes each of M leaves alone.

    Args:
        better: (6, M) rows x1, y1, x2, y2, area and class. In float64, in which the area of no
            float32 box overflows.
        others: (6, R), the same.
        iou_threshold: overlap above it is not left alone.
    """
    x1, y1, x2, y2, area, kind = better[:, :, np.newaxis]
    width = np.minimum(x2, others[2]) - np.maximum(x1, others[0])
    height = np.minimum(y2, others[3]) - np.maximum(y1, others[1])
    shared = np.maximum(width, 0.0) * np.maximum(height, 0.0)
    apart: NDArray[np.bool_] = shared <= iou_threshold * (area + others[4] - shared)
    apart |= kind != others[5]
    return apart


def _greedy(free: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(R,): which rows stay when each that stays removes the later ones it does not leave alone."""
    stays = np.ones(len(free), np.bool_)
    for row, spared in enumerate(free):
        if stays[row]:
            stays[row + 1 :] &= spared[row + 1 :]
    return stays

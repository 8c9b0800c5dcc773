"""Detection in the terms of the task: the boxes that either graph is sure of.

A box is sure if its score is SURE_SCORE above the threshold that serves. It counts as found if the
other graph serves a box of its class there; how that box scores is measured beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.fidelity.classes import correlation, worst_ratio
from convert.fidelity.intervals import CONFIDENCE, ratio_lower
from runtime.artifact.manifest import NmsConfig
from runtime.predict.detection import Boxes, non_max_suppression

SURE_SCORE = 0.1
MIN_IOU = 0.75

SURE_BOX_METRICS = (
    *("sure_recall", "sure_recall_lower", "sure_precision", "sure_precision_lower"),
    *("sure_iou_mean", "score_shift", "score_correlation", "score_ratio"),
)

Outputs = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class _Matches:
    """The sure boxes of one graph in another's, over all images."""

    found: NDArray[np.float64]  # (N,) by image
    totals: NDArray[np.float64]  # (N,) sure boxes by image
    ious: NDArray[np.float64]  # of those found
    shifts: NDArray[np.float64]  # of their scores: the other's minus their own


def compare_boxes(
    reference: Outputs, candidate: Outputs, nms: NmsConfig, confidence: float = CONFIDENCE
) -> dict[str, float]:
    """Compare what two detectors serve for the same N images.

    Args:
        reference: "boxes_xyxy" (N, A, 4) and "scores" (N, A, K).
        candidate: the same outputs of the other graph.
        nms: the settings with which the detector serves.
        confidence: of the bounds.

    Returns:
        The SURE_BOX_METRICS, without those that these images cannot show.
    """
    expected, actual = select_boxes(reference, nms), select_boxes(candidate, nms)
    sure_score = nms.score_threshold + SURE_SCORE
    forward, back = _match(expected, actual, sure_score), _match(actual, expected, sure_score)
    metrics = {}
    if forward.totals.sum():
        metrics["sure_recall"] = float(forward.found.sum() / forward.totals.sum())
        metrics["sure_recall_lower"] = ratio_lower(forward.found, forward.totals, confidence)
        has_none = not back.totals.sum()  # a candidate without sure boxes is right in none
        share = 0.0 if has_none else float(back.found.sum() / back.totals.sum())
        metrics["sure_precision"] = share
        metrics["sure_precision_lower"] = ratio_lower(back.found, back.totals, confidence)
        is_empty = not len(forward.ious)
        metrics["sure_iou_mean"] = 0.0 if is_empty else float(forward.ious.mean())
        metrics["score_shift"] = 1.0 if is_empty else abs(float(forward.shifts.mean()))
        best, other = (outputs["scores"].max(axis=1) for outputs in (reference, candidate))
        metrics["score_ratio"] = worst_ratio(best, other, best >= sure_score)
    classes = sorted({int(k) for boxes in expected for k in boxes.classes})
    if classes:
        scores = reference["scores"], candidate["scores"]
        metrics["score_correlation"] = min(
            correlation(*(array[..., k] for array in scores)) for k in classes
        )
    return metrics


def select_boxes(outputs: Outputs, nms: NmsConfig) -> list[Boxes]:
    """Return the boxes that are served for each image."""
    pairs = zip(outputs["boxes_xyxy"], outputs["scores"], strict=True)
    return [non_max_suppression(boxes, scores, nms) for boxes, scores in pairs]


def sure_boxes(outputs: Outputs, nms: NmsConfig) -> list[Boxes]:
    """Return the boxes of each image that are served and sure."""
    raised = replace(nms, score_threshold=nms.score_threshold + SURE_SCORE)
    return select_boxes(outputs, raised)


def _match(own: Sequence[Boxes], others: Sequence[Boxes], sure_score: float) -> _Matches:
    found, totals = np.zeros(len(own)), np.zeros(len(own))
    ious, shifts = [], []
    for image, (mine, other) in enumerate(zip(own, others, strict=True)):
        for box, score, class_id in zip(mine.boxes_xyxy, mine.scores, mine.classes, strict=True):
            if score < sure_score:
                continue
            totals[image] += 1
            same = other.classes == class_id
            overlaps = box_ious(box, other.boxes_xyxy[same])
            if overlaps.size and overlaps.max() >= MIN_IOU:
                best = int(overlaps.argmax())
                found[image] += 1
                ious.append(float(overlaps[best]))
                shifts.append(float(other.scores[same][best] - score))
    return _Matches(found, totals, np.array(ious), np.array(shifts))


def box_ious(box: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the intersection over union of one xyxy box, (4,), with others, (M, 4)."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    shared = sides.clip(0).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod()
    return shared / np.maximum(areas - shared, np.float32(1e-9))

"""Fidelity: how close a graph's outputs are to the reference's, in the terms of the task.

`measure` returns named metrics, for tolerances and reports, and one loss, for ranking candidates.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.fidelity.boxes import SURE_BOX_METRICS, box_ious, compare_boxes
from convert.fidelity.classes import CLASS_METRICS, compare_classes
from convert.fidelity.intervals import CONFIDENCE, mean_lower
from runtime.artifact.manifest import NmsConfig
from runtime.predict.detection import non_max_suppression

Outputs = Mapping[str, NDArray[Any]]
Comparison = tuple[dict[str, float], float]  # metrics, loss

# IoU leaves out reference masks with a smaller share of foreground: a few hundred uncertain pixels
# move it by tens of points there. `mae` and `collapsed_fraction` cover those images
MIN_FOREGROUND = 0.01
# IoU also leaves out reference masks with a smaller range before stretching (`alpha_range`): the
# network found nothing there, and stretching turns its doubts into foreground. Certain masks span
# 0.99 and more
MIN_ALPHA_RANGE = 0.9
# a reference box counts as found if a box of its class has this IoU with it, and a score this near
MIN_BOX_IOU, MAX_SCORE_DIFFERENCE = 0.9, 0.05
# smaller scores belong to no box. A face's score is a geometric mean, sqrt(a * b): near 0 it moves
# by 4e-4 with the last bit of a, in which onnxruntime's kernels differ
MIN_SCORE = 0.01
# with fewer boxes over all inputs, box metrics are NaN. Synthetic images may hold nothing that a
# detector finds, and an INT8 graph that found no face in photos agreed with its reference on them
MIN_BOXES = 8
RANKING_BOXES = 4  # per image, for the loss, when there are fewer than MIN_BOXES
# measured on --labelled media alone, by `convert.gate.labelled`
LABELLED_LOSS, LABELLED_LOSS_UPPER = "labelled_loss", "labelled_loss_upper"
BOX_METRICS = ("box_recall", "box_iou_mean", "box_iou_p05", "score_difference")


@dataclass(frozen=True, slots=True)
class Fidelity:
    """Agreement of a candidate with the reference on the same inputs."""

    metrics: Mapping[str, float]
    loss: float  # 0: equal; comparable only between candidates of one model


def measure(
    reference: Outputs,
    candidate: Outputs,
    nms: NmsConfig | None = None,
    rows: Sequence[int] | None = None,
    confidence: float = CONFIDENCE,
) -> Fidelity:
    """Compare outputs of the same inputs, row by row.

    Args:
        reference: arrays (N, ...) by output name; the names decide which metrics are computed.
        candidate: the same outputs of the other graph.
        nms: the settings with which a detector serves; None for other tasks.
        rows: one row of each source, for CLASS_METRICS and SURE_BOX_METRICS; None: all of them.
        confidence: of the bounds in CLASS_METRICS and SURE_BOX_METRICS.

    Returns:
        Metrics and loss. The loss is infinite if the candidate holds NaN or infinity; metrics that
        average such values are NaN.
    """
    metrics: dict[str, float] = {}
    loss = 0.0
    for name, compare in _COMPARISONS.items():
        if name in reference:
            output_metrics, output_loss = compare(reference, candidate, nms)
            metrics, loss = metrics | output_metrics, loss + output_loss
    metrics |= _in_task_terms(reference, candidate, nms, rows, confidence)
    is_finite = all(bool(np.isfinite(array).all()) for array in candidate.values())
    return Fidelity(metrics, loss if is_finite and np.isfinite(loss) else float("inf"))


def _in_task_terms(
    reference: Outputs,
    candidate: Outputs,
    nms: NmsConfig | None,
    rows: Sequence[int] | None,
    confidence: float,
) -> dict[str, float]:
    """Return CLASS_METRICS or SURE_BOX_METRICS; none for other outputs, and of no rows."""
    if rows is not None and not rows:
        return {}
    before, after = (
        outputs if rows is None else {name: array[list(rows)] for name, array in outputs.items()}
        for outputs in (reference, candidate)
    )
    if "probabilities" in reference:
        return compare_classes(before["probabilities"], after["probabilities"], confidence)
    if "boxes_xyxy" in reference:
        assert nms is not None  # a manifest of a detector without these settings is refused
        return compare_boxes(before, after, nms, confidence)
    return {}


def max_abs_difference(reference: Outputs, candidate: Outputs) -> float:
    """Return the largest absolute difference over all outputs; infinity if any is NaN.

    Boxes and keypoints are divided by the largest coordinate, because other outputs are about 1 at
    most: at 640 px one step of float32 is 6e-5 px, and an uncertain box moves by many steps. Scores
    below MIN_SCORE count as MIN_SCORE.
    """
    differences = [
        np.abs(
            _raise_low_scores(name, reference[name]) - _raise_low_scores(name, candidate[name])
        ).max()
        / _scale(name, reference[name])
        for name in reference
    ]
    largest = float(np.max(differences))
    return largest if np.isfinite(largest) else float("inf")


def _scale(name: str, values: NDArray[Any]) -> float:
    """Return the divisor of an output's differences."""
    is_in_px = name in ("boxes_xyxy", "keypoints")
    return max(1.0, float(np.abs(values).max())) if is_in_px else 1.0


def _raise_low_scores(name: str, values: NDArray[Any]) -> NDArray[Any]:
    """Return scores with MIN_SCORE as their minimum; return other outputs unchanged."""
    return np.maximum(values, np.float32(MIN_SCORE)) if name == "scores" else values


def _classification(reference: Outputs, candidate: Outputs, nms: NmsConfig | None) -> Comparison:
    """Compare probabilities by total variation distance, which is also the loss."""
    del nms
    p, q = reference["probabilities"], candidate["probabilities"]
    distances = np.abs(p - q).sum(axis=1) / 2
    distance = float(distances.mean())
    agreement = float((p.argmax(axis=1) == q.argmax(axis=1)).mean())
    metrics = {
        "top1_agreement": agreement,
        "probability_distance": distance,
        "probability_distance_p95": float(np.percentile(distances, 95)),
    }
    return metrics, distance


def _embedding(reference: Outputs, candidate: Outputs, nms: NmsConfig | None) -> Comparison:
    """Compare embeddings by their cosine to the reference, and pairs by their cosines.

    The loss is 1 minus the mean cosine to the reference.
    """
    del nms
    p, q = reference["embedding"], candidate["embedding"]
    # embeddings of one network share a direction, by which any two have a high cosine: center them
    center = p.mean(axis=0)
    cosines = _cosine(p - center, q - center)
    pairs = np.triu_indices(len(p), k=1)
    error = float(np.abs((p @ p.T)[pairs] - (q @ q.T)[pairs]).mean()) if len(p) > 1 else 0.0
    metrics = {
        "cosine_mean": float(cosines.mean()),
        "cosine_mean_lower": mean_lower(np.asarray(cosines, np.float64)),
        "cosine_p05": float(np.percentile(cosines, 5)),
        "pair_error": error,
    }
    return metrics, 1 - metrics["cosine_mean"]


def _segmentation(reference: Outputs, candidate: Outputs, nms: NmsConfig | None) -> Comparison:
    """Compare masks by IoU at alpha 0.5 and by mean absolute error; the loss adds up both.

    IoU is 1 if every reference mask is left out, see MIN_FOREGROUND and MIN_ALPHA_RANGE.
    """
    del nms
    p, q = reference["alpha"], candidate["alpha"]
    mae = float(np.abs(p - q).mean())
    range_p, range_q = (
        np.diff(outputs["alpha_range"], axis=1)[:, 0] for outputs in (reference, candidate)
    )
    pairs = [
        (a > 0.5, b > 0.5)
        for a, b, alpha_range in zip(p, q, range_p, strict=True)
        if alpha_range >= MIN_ALPHA_RANGE
    ]
    ious = np.array([mask_iou(a, b) for a, b in pairs if a.mean() >= MIN_FOREGROUND] or [1.0])
    # images where the candidate no longer separates foreground, while the reference does
    collapsed = float((range_q < range_p / 4).mean())
    metrics = {
        "iou_mean": float(ious.mean()),
        "iou_mean_lower": mean_lower(ious),
        "iou_p05": float(np.percentile(ious, 5)),
        "mae": mae,
        "collapsed_fraction": collapsed,
    }
    return metrics, mae + (1 - metrics["iou_mean"]) / 2


def _detection(reference: Outputs, candidate: Outputs, nms: NmsConfig | None) -> Comparison:
    """Compare the boxes that remain after non-maximum suppression.

    With fewer than MIN_BOXES in the reference, metrics are NaN, and the loss compares boxes of
    lower scores, so that candidates can still be ranked.
    """
    assert nms is not None  # a manifest of a detector without these settings is refused
    ious, differences = _match_boxes(reference, candidate, nms)
    if len(ious) >= MIN_BOXES:
        is_matched = (ious >= MIN_BOX_IOU) & (differences <= MAX_SCORE_DIFFERENCE)
        iou_p05 = float(np.percentile(ious, 5))
        recall, difference = float(is_matched.mean()), float(differences.mean())
        values = [recall, float(ious.mean()), iou_p05, difference]
    else:
        values = [math.nan] * len(BOX_METRICS)
        lenient = _lower_threshold(reference["scores"], nms)
        ious, differences = _match_boxes(reference, candidate, lenient)
    loss = float(1 - ious.mean() + differences.mean()) if len(ious) else 0.0
    return dict(zip(BOX_METRICS, values, strict=True)), loss


def _match_boxes(
    reference: Outputs, candidate: Outputs, nms: NmsConfig
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Match each box of the reference with the candidate's best box of the same class.

    Returns:
        ious: (M,) of the M reference boxes of all inputs; 0 where there is no box of the class.
        differences: (M,) of their scores; 1 where there is no box of the class.
    """
    threshold = max(nms.score_threshold - MAX_SCORE_DIFFERENCE, 0)
    candidate_nms = replace(nms, score_threshold=threshold)
    matches = []
    for index in range(len(reference["scores"])):
        expected, actual = (
            non_max_suppression(outputs["boxes_xyxy"][index], outputs["scores"][index], settings)
            for outputs, settings in ((reference, nms), (candidate, candidate_nms))
        )
        for box, score, class_id in zip(
            expected.boxes_xyxy, expected.scores, expected.classes, strict=True
        ):
            same_class = actual.classes == class_id
            ious = box_ious(box, actual.boxes_xyxy[same_class])
            if not ious.size:
                matches.append((0.0, 1.0))
                continue
            best = int(ious.argmax())
            difference = abs(float(actual.scores[same_class][best] - score))
            matches.append((float(ious[best]), difference))
    all_ious, all_differences = np.array(matches, np.float64).reshape(-1, 2).T
    return all_ious, all_differences


def _lower_threshold(scores: NDArray[np.float32], nms: NmsConfig) -> NmsConfig:
    """Return settings whose score threshold is low enough for RANKING_BOXES times the images.

    Boxes of all images count together. The threshold is never raised.
    """
    best = np.sort(scores.max(axis=2), axis=None)
    threshold = max(0.0, float(best[-min(len(best), len(scores) * RANKING_BOXES)]) - 1e-6)
    return replace(nms, score_threshold=min(nms.score_threshold, threshold))


def mask_iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Return the intersection over union of two masks; 1 if both are empty."""
    union = np.count_nonzero(a | b)
    return float(np.count_nonzero(a & b) / union) if union else 1.0


def _cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the cosine of each pair of rows, (N,)."""
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.einsum("nd,nd->n", a, b) / np.maximum(norms, 1e-12)


_COMPARISONS: Mapping[str, Callable[[Outputs, Outputs, NmsConfig | None], Comparison]] = {
    "probabilities": _classification,
    "embedding": _embedding,
    "alpha": _segmentation,
    "boxes_xyxy": _detection,
}
METRICS = (
    *("top1_agreement", "probability_distance", "probability_distance_p95"),
    *CLASS_METRICS,
    *("cosine_mean", "cosine_mean_lower", "cosine_p05", "pair_error"),
    *("iou_mean", "iou_mean_lower", "iou_p05", "mae", "collapsed_fraction"),
    *BOX_METRICS,
    *SURE_BOX_METRICS,
    *(LABELLED_LOSS, LABELLED_LOSS_UPPER),
)

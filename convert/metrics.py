"""How close two sets of answers are, in the task's own terms.

`measure` gives named metrics for tolerances and reports, and one `loss` (0 = equal) to rank by.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.artifact.manifest import NmsConfig
from runtime.predict.detection import non_max_suppression

Outputs = Mapping[str, NDArray[Any]]
Compared = tuple[dict[str, float], float]  # metrics, loss

# share of foreground under which a reference mask is too small for IoU: a few hundred unsure pixels
# there move it by tens of points; such images are judged by `mae` and `collapsed_fraction` alone
JUDGED_AREA = 0.01
# range of a reference mask before it was stretched, under which its network found nothing for sure:
# stretching makes a foreground of its doubts all the same. Sure masks span 0.99 and more
JUDGED_RANGE = 0.9
# a box of the reference is found again where one of its class overlaps it so far, with such a score
SAME_BOX, SCORE_MARGIN = 0.9, 0.05
# smaller scores are of no box; a geometric mean of two sigmoids moves by 4e-4 there where the last
# bit of one does, and onnxruntime's kernels differ in it
LEAST_SCORE = 0.01
# fewer boxes over all inputs tell nothing: drawings may hold none of what a detector finds, and an
# INT8 that found none of the faces in photos agreed with its reference on them
JUDGED_BOXES = 8
RANKED_BOXES = 4  # per image, to rank candidates by where too few can be judged
BOX_METRICS = ("box_recall", "box_iou_mean", "box_iou_p05", "score_difference")


@dataclass(frozen=True, slots=True)
class Fidelity:
    """Agreement of a candidate with the reference on the same inputs."""

    metrics: Mapping[str, float]
    loss: float  # 0 is equal; only for ranking candidates of one model


def measure(
    reference: Outputs, candidate: Outputs, suppression: NmsConfig | None = None
) -> Fidelity:
    """Compare outputs of the same inputs, row by row.

    Args:
        reference: arrays by output name, all with the same first axis N; the names decide what is
            measured.
        candidate: the same outputs of the graph to be judged.
        suppression: of a detector, as it serves.

    Returns:
        Fidelity: NaN in the candidate makes its metrics NaN and its loss infinite.
    """
    metrics: dict[str, float] = {}
    loss = 0.0
    for name, compare in _COMPARISONS.items():
        if name in reference:
            found, lost = compare(reference, candidate, suppression)
            metrics, loss = metrics | found, loss + lost
    finite = all(bool(np.isfinite(array).all()) for array in candidate.values())
    return Fidelity(metrics, loss if finite and np.isfinite(loss) else float("inf"))


def max_abs_difference(reference: Outputs, candidate: Outputs) -> float:
    """Largest absolute difference over all outputs; NaN anywhere gives infinity.

    Boxes count in parts of their largest coordinate, where other outputs end at about 1: at 640 px
    one step of float32 is 6e-5 px, and an unsure box moves by many. So do keypoints. Scores count
    from LEAST_SCORE on.
    """
    differences = [
        np.abs(_counted(name, reference[name]) - _counted(name, candidate[name])).max()
        / _unit(name, reference[name])
        for name in reference
    ]
    largest = float(np.max(differences))
    return largest if np.isfinite(largest) else float("inf")


def _unit(name: str, values: NDArray[Any]) -> float:
    in_px = name in ("boxes_xyxy", "keypoints")
    return max(1.0, float(np.abs(values).max())) if in_px else 1.0


def _counted(name: str, values: NDArray[Any]) -> NDArray[Any]:
    return np.maximum(values, np.float32(LEAST_SCORE)) if name == "scores" else values


def _classification(
    reference: Outputs, candidate: Outputs, suppression: NmsConfig | None
) -> Compared:
    del suppression
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


def _embedding(reference: Outputs, candidate: Outputs, suppression: NmsConfig | None) -> Compared:
    del suppression
    p, q = reference["embedding"], candidate["embedding"]
    # centred: embeddings of one net share a direction, which alone gives any two a high cosine
    centre = p.mean(axis=0)
    cosines = _cosine(p - centre, q - centre)
    pairs = np.triu_indices(len(p), k=1)
    error = float(np.abs((p @ p.T)[pairs] - (q @ q.T)[pairs]).mean()) if len(p) > 1 else 0.0
    metrics = {
        "cosine_mean": float(cosines.mean()),
        "cosine_p05": float(np.percentile(cosines, 5)),
        "pair_error": error,
    }
    return metrics, 1 - metrics["cosine_mean"]


def _segmentation(
    reference: Outputs, candidate: Outputs, suppression: NmsConfig | None
) -> Compared:
    del suppression
    p, q = reference["alpha"], candidate["alpha"]
    mae = float(np.abs(p - q).mean())
    spread_p, spread_q = (
        np.diff(side["alpha_range"], axis=1)[:, 0] for side in (reference, candidate)
    )
    pairs = [
        (a > 0.5, b > 0.5)
        for a, b, spread in zip(p, q, spread_p, strict=True)
        if spread >= JUDGED_RANGE
    ]
    ious = np.array([_iou(a, b) for a, b in pairs if a.mean() >= JUDGED_AREA] or [1.0])
    # a mask that stopped telling foreground apart, where the reference did
    collapsed = float((spread_q < spread_p / 4).mean())
    metrics = {
        "iou_mean": float(ious.mean()),
        "iou_p05": float(np.percentile(ious, 5)),
        "mae": mae,
        "collapsed_fraction": collapsed,
    }
    return metrics, mae + (1 - metrics["iou_mean"]) / 2


def _detection(reference: Outputs, candidate: Outputs, suppression: NmsConfig | None) -> Compared:
    assert suppression is not None  # the manifest refuses a detector without
    overlap, apart = _found_again(reference, candidate, suppression)
    if len(overlap) >= JUDGED_BOXES:
        again = (overlap >= SAME_BOX) & (apart <= SCORE_MARGIN)
        lowest = float(np.percentile(overlap, 5))
        values = [float(again.mean()), float(overlap.mean()), lowest, float(apart.mean())]
    else:
        values = [math.nan] * len(BOX_METRICS)
        # candidates are ranked all the same: by boxes that the detector is less sure of
        unsure = _lowered(reference["scores"], suppression)
        overlap, apart = _found_again(reference, candidate, unsure)
    loss = float(1 - overlap.mean() + apart.mean()) if len(overlap) else 0.0
    return dict(zip(BOX_METRICS, values, strict=True)), loss


def _found_again(
    reference: Outputs, candidate: Outputs, suppression: NmsConfig
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Per box of the reference: the best overlap of its class, and how far the score is."""
    lower = replace(suppression, score_threshold=max(suppression.score_threshold - SCORE_MARGIN, 0))
    pairs = []
    for index in range(len(reference["scores"])):
        expected, given = (
            non_max_suppression(outputs["boxes_xyxy"][index], outputs["scores"][index], wanted)
            for outputs, wanted in ((reference, suppression), (candidate, lower))
        )
        for box, score, kind in zip(
            expected.boxes_xyxy, expected.scores, expected.classes, strict=True
        ):
            same = given.classes == kind
            overlaps = box_ious(box, given.boxes_xyxy[same])
            best = int(overlaps.argmax()) if overlaps.size else -1
            apart = abs(float(given.scores[same][best] - score)) if overlaps.size else 1.0
            pairs.append((float(overlaps[best]) if overlaps.size else 0.0, apart))
    overlap, apart_from = np.array(pairs, np.float64).reshape(-1, 2).T
    return overlap, apart_from


def _lowered(scores: NDArray[np.float32], suppression: NmsConfig) -> NmsConfig:
    """A threshold so low that there are boxes to compare."""
    best = np.sort(scores.max(axis=2), axis=None)
    enough = max(0.0, float(best[-min(len(best), len(scores) * RANKED_BOXES)]) - 1e-6)
    return replace(suppression, score_threshold=min(suppression.score_threshold, enough))


def box_ious(box: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union of one xyxy box (4,) with (M, 4) others."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    shared = sides.clip(0).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod()
    return shared / np.maximum(areas - shared, np.float32(1e-9))


def _iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    union = np.count_nonzero(a | b)
    return float(np.count_nonzero(a & b) / union) if union else 1.0


def _cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.einsum("nd,nd->n", a, b) / np.maximum(norms, 1e-12)


_COMPARISONS: Mapping[str, Callable[[Outputs, Outputs, NmsConfig | None], Compared]] = {
    "probabilities": _classification,
    "embedding": _embedding,
    "alpha": _segmentation,
    "boxes_xyxy": _detection,
}
METRICS = (
    *("top1_agreement", "probability_distance", "probability_distance_p95"),
    *("cosine_mean", "cosine_p05", "pair_error"),
    *("iou_mean", "iou_p05", "mae", "collapsed_fraction"),
    *BOX_METRICS,
)

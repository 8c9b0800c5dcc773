"""Classification in the terms of the task: what a user loses who is served the other answer."""

import math

import numpy as np
from numpy.typing import NDArray

from convert.fidelity.intervals import CONFIDENCE, mean_upper, share_lower

SURE_MARGIN = 0.2  # between the two likeliest classes, above which the reference is sure
# a class that never reaches this probability only shows rounding
MIN_PROBABILITY = 0.05
# of inputs or images in which the reference is sure of a class: with fewer, the scores of good
# graphs fall to a third as well
MIN_OF_CLASS = 3

CLASS_METRICS = (
    *("regret", "regret_upper", "sure_agreement", "sure_agreement_lower"),
    *("confidence_shift", "class_correlation", "class_ratio"),
)

Probabilities = NDArray[np.float32]


def compare_classes(
    reference: Probabilities, candidate: Probabilities, confidence: float = CONFIDENCE
) -> dict[str, float]:
    """Compare probabilities of the same inputs, (N, K) each; `confidence` is that of the bounds.

    Returns:
        The CLASS_METRICS, without those that these inputs cannot show: "sure_agreement" if the
        reference is sure of none, "class_correlation" if no class varies.
    """
    rows, chosen = np.arange(len(reference)), candidate.argmax(axis=1)
    regrets = np.asarray(reference.max(axis=1) - reference[rows, chosen], np.float64)
    shift = float(candidate.max(axis=1).mean() - reference.max(axis=1).mean())
    metrics = {
        "regret": float(regrets.mean()),
        "regret_upper": mean_upper(regrets, confidence),
        "confidence_shift": abs(shift),
    }
    is_sure = sure_inputs(reference)
    if is_sure.any():
        agreements = (reference.argmax(axis=1) == chosen)[is_sure]
        count = int(agreements.sum())
        metrics["sure_agreement"] = count / len(agreements)
        metrics["sure_agreement_lower"] = share_lower(count, len(agreements), confidence)
        own = np.eye(reference.shape[1], dtype=bool)[reference.argmax(axis=1)]
        sure_of = own & is_sure[:, np.newaxis]
        metrics["class_ratio"] = worst_ratio(reference, candidate, sure_of)
    used = [k for k in range(reference.shape[1]) if _varies(reference[:, k])]
    if used:
        metrics["class_correlation"] = min(
            correlation(reference[:, k], candidate[:, k]) for k in used
        )
    return metrics


def sure_inputs(reference: Probabilities) -> NDArray[np.bool_]:
    """Return which inputs the reference is sure of, (N,)."""
    if reference.shape[1] < 2:
        return np.zeros(len(reference), bool)
    second, first = np.partition(reference, -2, axis=1)[:, -2:].T
    return np.asarray(first - second > SURE_MARGIN)


def worst_ratio(
    reference: NDArray[np.float32], candidate: NDArray[np.float32], sure_of: NDArray[np.bool_]
) -> float:
    """Return the candidate's scores of a class as a share of the reference's, the worst class.

    A correlation does not see scores that are halved, and no mean over all inputs does so of a rare
    class.

    Args:
        reference: (N, K) scores of the classes, not below 0.
        candidate: (N, K)
        sure_of: (N, K), in which inputs the reference is sure of which class; these count. Classes
            of fewer than MIN_OF_CLASS inputs do not, unless there is no other: then all together.

    Returns:
        NaN if the reference is sure of nothing, or a score is no number.
    """
    before, after = (
        np.where(sure_of, scores, 0).sum(axis=0, dtype=np.float64)
        for scores in (reference, candidate)
    )
    is_judged = sure_of.sum(axis=0) >= MIN_OF_CLASS
    if not is_judged.any():
        return float(after.sum() / before.sum()) if before.sum() else math.nan
    return float((after[is_judged] / before[is_judged]).min())


def _varies(values: NDArray[np.float32]) -> bool:
    return bool(values.max() >= MIN_PROBABILITY and np.ptp(values) >= MIN_PROBABILITY)


def correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Return Pearson's correlation of all values; 0 if either is constant or not finite."""
    x, y = (np.asarray(v, np.float64).ravel() for v in (a, b))
    x, y = x - x.mean(), y - y.mean()
    norm = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / norm if np.isfinite(norm) and norm > 0 else 0.0

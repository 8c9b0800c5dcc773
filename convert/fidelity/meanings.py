"""Meanings of the metrics, in words for reports."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

MEANINGS: Mapping[str, str] = {
    "top1_agreement": "share of inputs with the same likeliest class",
    "probability_distance": "half the sum of absolute differences of probabilities, mean",
    "probability_distance_p95": "the same, 95th percentile",
    "regret": "reference's probability of its own class, minus that of the class answered, mean",
    "regret_upper": "the same is at most this, with 95 % certainty",
    "sure_agreement": "share with the same class, of inputs that the reference is sure of: its two "
    "likeliest classes are more than 0.2 apart",
    "sure_agreement_lower": "the same is at least this, with 95 % certainty",
    "confidence_shift": "change of the mean probability of the class answered",
    "class_correlation": "correlation of a class's probabilities over the inputs, worst class",
    "class_ratio": "probabilities of a class in inputs that the reference is sure it is in, as a "
    "share of the reference's, worst class of three such inputs and more",
    "labelled_loss": "how much less than float this variant agrees with the labels: the share of "
    "right answers, the mean average precision of boxes at an IoU of 0.5, or the mean IoU of masks",
    "labelled_loss_upper": "the same is at most this, with 95 % certainty",
    "cosine_mean": "cosine between the two embeddings of an input, mean",
    "cosine_mean_lower": "the same is at least this, with 95 % certainty",
    "cosine_p05": "cosine_mean of single inputs, 5th percentile",
    "pair_error": "absolute change of the similarity of two inputs, mean",
    "iou_mean": "intersection over union of the two masks, mean",
    "iou_mean_lower": "the same is at least this, with 95 % certainty",
    "iou_p05": "iou_mean of single images, 5th percentile",
    "mae": "absolute difference of alpha, mean",
    "collapsed_fraction": "share of masks that no longer separate foreground from background",
    "box_recall": "share of the reference's boxes that are found in place, with a similar score",
    "box_iou_mean": "intersection over union of such a pair of boxes, mean",
    "box_iou_p05": "the same, 5th percentile",
    "score_difference": "absolute difference of their scores, mean",
    "sure_recall": "share of boxes that the reference is sure of (0.1 over the served threshold) "
    "that are served, of the same class, at an intersection over union of 0.75 or more",
    "sure_recall_lower": "the same is at least this, with 95 % certainty",
    "sure_precision": "share of boxes that this variant is sure of that the reference serves",
    "sure_precision_lower": "the same is at least this, with 95 % certainty",
    "sure_iou_mean": "intersection over union of the boxes found, mean",
    "score_shift": "mean change of the scores of the boxes found, whatever its sign",
    "score_correlation": "correlation of a class's scores over all places, worst class",
    "score_ratio": "best scores of a class in images where the reference is sure of it, as a share "
    "of the reference's, worst class of three such images and more",
}


# of evidence
TERMS: Mapping[str, str] = {
    "sure inputs": "inputs whose two likeliest classes are more than 0.2 apart in float",
    "sure boxes": "boxes whose score in float is 0.1 over the served threshold and more",
    "different origin": "media that look alike, such as two sizes of a photo, count once",
    "labelled media": "those of --labelled",
}


def describe_bound(bound: Mapping[str, Any], *, explained: bool = True) -> str:
    """Return a recorded bound with its metric's value, in a sentence.

    Args:
        bound: "metric", its "value", and "at_least" or "at_most".
        explained: add the metric's meaning; a metric of an earlier artifact may have none.
    """
    name, value = str(bound["metric"]), float(bound["value"])
    relation = "at least" if "at_least" in bound else "at most"
    limit = float(bound["at_least"] if "at_least" in bound else bound["at_most"])
    meaning = f" ({MEANINGS[name]})" if explained and name in MEANINGS else ""
    return f"{name} is {value:.4f}, {relation} {limit:.4g} is allowed{meaning}"


def meanings_in(texts: Iterable[str]) -> dict[str, str]:
    """Return the meaning of each metric and term that texts name, in the order of the tables."""
    text = " ".join(texts)
    words = set(re.findall(r"[a-z0-9_]+", text))
    terms = {term: meaning for term, meaning in TERMS.items() if term in text}
    return {**{name: MEANINGS[name] for name in MEANINGS if name in words}, **terms}

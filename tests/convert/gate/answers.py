"""Answers of a good and of many broken graphs, without any graph."""

import numpy as np
from numpy.typing import NDArray

from convert.metrics import Outputs
from runtime.artifact.manifest import NmsConfig

CLASSES = 7
RARE = 6  # the class that the reference gives one input in forty
SERVED = NmsConfig(score_threshold=0.25, iou_threshold=0.7, max_detections=50)
STEP_PX, SIDE_PX = 40, 30  # boxes lie in a row, apart from each other

Array = NDArray[np.float32]


def logits(count: int = 200, seed: int = 1) -> NDArray[np.float64]:
    """Return logits of a trained classifier: sure of most inputs, in doubt about some."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 1, (count, CLASSES))
    labels = np.arange(count) % (CLASSES - 1)
    labels[::40] = RARE
    values[np.arange(count), labels] += rng.uniform(1, 7, count)
    return values


def softmax(values: NDArray[np.float64]) -> Array:
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def classes(values: NDArray[np.float64]) -> Outputs:
    return {"probabilities": softmax(values)}


def noisy(values: NDArray[np.float64], level: float) -> NDArray[np.float64]:
    return values + np.random.default_rng(2).normal(0, level, values.shape)


def detector(images: int = 60, places: int = 4, kinds: int = 3, seed: int = 3) -> Outputs:
    """Return boxes of a trained detector: most are sure, some are near the threshold."""
    rng = np.random.default_rng(seed)
    left = np.arange(places) * STEP_PX + rng.uniform(0, 5, (images, places))
    boxes = np.stack([left, left * 0, left + SIDE_PX, left * 0 + SIDE_PX], axis=2)
    scores = rng.uniform(0, 0.02, (images, places, kinds))
    best = rng.integers(kinds, size=(images, places))
    values = np.where(rng.random((images, places)) < 0.8, 0.85, 0.3)
    values += rng.uniform(-0.04, 0.04, values.shape)
    np.put_along_axis(scores, best[..., np.newaxis], values[..., np.newaxis], axis=2)
    return {
        "boxes_xyxy": boxes.astype(np.float32),
        "scores": scores.astype(np.float32),
    }


def jittered(outputs: Outputs, *, px: float, score: float) -> Outputs:
    rng = np.random.default_rng(4)
    boxes, scores = outputs["boxes_xyxy"], outputs["scores"]
    moved = boxes + rng.normal(0, px, boxes.shape)
    factors = 1 + rng.normal(0, score, (*scores.shape[:2], 1))
    return {
        "boxes_xyxy": moved.astype(np.float32),
        "scores": np.clip(scores * factors, 0, 1).astype(np.float32),
    }

"""Mean average precision of served boxes against labelled ones, at one overlap.

Detections of a class are taken best score first over all images. Each finds the labelled box of its
image and class that overlaps it most, of those that no better one has found. The average precision
of the class is the area under the envelope of precision over recall; the mean is over the classes
that are labelled.

Source: PASCAL VOC 2010 (area under the envelope, not sampled at 11 or 101 recalls); the matching of
pycocotools.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.fidelity.boxes import box_ious
from runtime.predict.detection import Boxes

MIN_IOU = 0.5
CHUNK = 50  # weightings at once: 256 images of 300 boxes take 31 MB

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TrueBoxes:
    """The labelled boxes of one image."""

    boxes_xyxy: NDArray[np.float32]  # (M, 4), in px of the graph's input
    classes: NDArray[np.int64]  # (M,)


@dataclass(frozen=True, slots=True)
class _Detections:
    """The detections of one class over N images, best first."""

    images: NDArray[np.int64]  # (D,) index of the image of each
    is_right: NDArray[np.bool_]  # (D,)
    labelled: Floats  # (N,) labelled boxes of the class


def mean_average_precision(
    served: Sequence[Boxes], truth: Sequence[TrueBoxes], weights: Floats
) -> Floats:
    """Return the mean average precision for each weighting of the images.

    Args:
        served: of N images.
        truth: of the same images.
        weights: (R, N), how often each image counts.

    Returns:
        (R,); 0 where no labelled box counts.
    """
    classes = sorted({int(k) for labelled in truth for k in labelled.classes})
    detections = [_match(served, truth, class_id) for class_id in classes]
    return np.concatenate([_mean(detections, part) for part in _chunks(weights)])


def _chunks(weights: Floats) -> Iterator[Floats]:
    for start in range(0, len(weights), CHUNK):
        yield weights[start : start + CHUNK]


def _mean(detections: Sequence[_Detections], weights: Floats) -> Floats:
    if not detections:
        return np.zeros(len(weights))
    areas = np.stack([_average_precision(of_class, weights) for of_class in detections])
    counts = np.stack([weights @ of_class.labelled for of_class in detections]) > 0
    total = np.where(counts, areas, 0).sum(axis=0)
    return np.asarray(total / np.maximum(counts.sum(axis=0), 1))


def _average_precision(detections: _Detections, weights: Floats) -> Floats:
    """Return the area under the envelope of precision over recall, (R,)."""
    counts = weights[:, detections.images]  # (R, D)
    right = (counts * detections.is_right).cumsum(axis=1)
    total = (weights @ detections.labelled)[:, np.newaxis]
    recall = right / np.maximum(total, 1e-12)
    precision = right / np.maximum(counts.cumsum(axis=1), 1e-12)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    return np.asarray((np.diff(recall, axis=1, prepend=0) * envelope).sum(axis=1))


def _match(served: Sequence[Boxes], truth: Sequence[TrueBoxes], class_id: int) -> _Detections:
    images, scores, right = [], [], []
    labelled = np.zeros(len(truth))
    for image, (boxes, true) in enumerate(zip(served, truth, strict=True)):
        of_class = boxes.classes == class_id  # best first
        expected = true.boxes_xyxy[true.classes == class_id]
        labelled[image] = len(expected)
        images += [image] * int(of_class.sum())
        scores += boxes.scores[of_class].tolist()
        right += _finds(boxes.boxes_xyxy[of_class], expected)
    order = np.argsort(-np.array(scores), kind="stable")
    return _Detections(
        np.array(images, np.int64)[order], np.array(right, np.bool_)[order], labelled
    )


def _finds(boxes: NDArray[np.float32], expected: NDArray[np.float32]) -> list[bool]:
    """Return which boxes, best first, find an expected one that none before them has found."""
    is_free = np.ones(len(expected), bool)
    finds = []
    for box in boxes:
        overlaps = np.where(is_free, box_ious(box, expected), 0)
        best = int(overlaps.argmax()) if len(expected) else 0
        is_found = bool(len(expected) and overlaps[best] >= MIN_IOU)
        finds.append(is_found)
        if is_found:
            is_free[best] = False
    return finds

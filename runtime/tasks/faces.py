"""Faces of an image: a detector's boxes, and the square that a classifier sees of each."""

from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from runtime.arrays import Image
from runtime.model import Model
from runtime.predict.detection import detect

Floats = NDArray[np.float32]

# Two boxes with a smaller overlap are different faces. Detectors differ in how much hair and neck
# they include: a box with 1.8 times the sides of another, around the same centre, overlaps it by
# this much.
SAME_FACE_IOU = 0.3


@dataclass(frozen=True, slots=True)
class FaceBoxes:
    """The boxes that a detector finds in one image, best first; one per place, of any class."""

    boxes_xyxy: Floats  # (M, 4) left, top, right, bottom; px, within the image
    scores: Floats  # (M,) of the best class, in [0, 1]
    class_scores: Floats  # (M, K)


class RectangleJson(TypedDict):
    """A part of a picture in whole px; `x2` and `y2` are the first px outside."""

    x1: int
    y1: int
    x2: int
    y2: int


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A part of an image in whole px; `right` and `bottom` are the first px outside."""

    left: int
    top: int
    right: int
    bottom: int

    def cut(self, image: Image) -> Image:
        """Return this part of an (H, W, 3) image, as a view."""
        return image[self.top : self.bottom, self.left : self.right]

    def to_json(self) -> RectangleJson:
        """Return the corners in px of the image."""
        return {"x1": self.left, "y1": self.top, "x2": self.right, "y2": self.bottom}


def detect_faces(model: Model, image: Image) -> FaceBoxes:
    """Run a detector and keep one box per place.

    `Model.predict` keeps one box per place and class: two emotions of one face are two boxes there.

    Args:
        model: a model for object-detection.
        image: (H, W, 3) uint8, RGB.

    Raises:
        ModelOutputError: the detector's scores are NaN.
    """
    height, width = image.shape[:2]
    outputs = model.run(model.prepare(image).feeds, ["boxes_xyxy", "scores"])
    boxes = detect(outputs, model.spec, height=height, width=width, any_class=True)
    class_scores = np.asarray(outputs["scores"][0], np.float32)[boxes.rows]
    return FaceBoxes(boxes.boxes_xyxy, boxes.scores, class_scores)


def order_by_area(boxes: FaceBoxes) -> NDArray[np.int64]:
    """Return the rows from the largest box to the smallest; of equal areas the better one first."""
    sizes = boxes.boxes_xyxy[:, 2:] - boxes.boxes_xyxy[:, :2]
    return np.argsort(-sizes.prod(axis=1), kind="stable").astype(np.int64)


def match_face(boxes: FaceBoxes, face: Floats | None) -> int | None:
    """Return the row of the best box that lies on a face; None if no box does.

    Args:
        boxes: of another detector, or of another view of the image.
        face: (4,) left, top, right, bottom; None if the whole image is the face, so that any box
            lies on it.
    """
    if face is None:
        return 0 if len(boxes.scores) else None
    rows = np.flatnonzero(_overlaps(boxes.boxes_xyxy, face) >= SAME_FACE_IOU)
    return int(rows[0]) if rows.size else None


def square_around(face: Floats, *, height: int, width: int, margin: float) -> Rectangle:
    """Return the square around a face, within the image.

    At a border the square moves inwards and keeps its size. If the image is narrower than the
    square, the margin shrinks first; if the face itself is longer than the image is wide, the
    result is a rectangle.

    Args:
        face: (4,) left, top, right, bottom; px, within the image.
        height: of the image, px.
        width: of the image, px.
        margin: on each side, as a share of the face's longer side.
    """
    left, top, right, bottom = (float(value) for value in face)
    longer = max(right - left, bottom - top)
    shorter_side = min(height, width)
    side = longer * (1 + 2 * margin)
    if side > shorter_side:
        side = max(float(shorter_side), longer)
    length = max(1, round(side))
    x, columns = _fit_span((left + right) / 2, length, width)
    y, rows = _fit_span((top + bottom) / 2, length, height)
    return Rectangle(x, y, x + columns, y + rows)


def _fit_span(center: float, length: int, limit: int) -> tuple[int, int]:
    """Return start and length of a span around a center, moved and cut to lie in [0, limit]."""
    length = min(length, limit)
    return min(max(round(center - length / 2), 0), limit - length), length


def _overlaps(boxes: Floats, face: Floats) -> NDArray[np.float64]:
    """Return (M,) intersection over union of each box with a face that has area."""
    corners, other = boxes.astype(np.float64), face.astype(np.float64)
    sides = np.minimum(corners[:, 2:], other[2:]) - np.maximum(corners[:, :2], other[:2])
    intersections = sides.clip(0).prod(axis=1)
    areas = (corners[:, 2:] - corners[:, :2]).prod(axis=1) + (other[2:] - other[:2]).prod()
    overlaps: NDArray[np.float64] = intersections / (areas - intersections)
    return overlaps

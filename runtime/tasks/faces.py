"""Where the faces of a picture are, by a detector's boxes, and what is cut out around them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.arrays import Image
from runtime.model import Model
from runtime.predict.detection import detect

Floats = NDArray[np.float32]

# Below it two boxes are not of one face. Detectors differ in how much hair and neck they take in: a
# box of 1.8 times the sides of another one around the same middle overlaps it by that much.
SAME_FACE_IOU = 0.3


@dataclass(frozen=True, slots=True)
class Boxes:
    """What a detector finds in one picture, best first, whatever the class."""

    boxes_xyxy: Floats  # (M, 4) left, top, right, bottom; px of the picture, within it
    scores: Floats  # (M,) of the best class, in [0, 1]
    class_scores: Floats  # (M, K)


@dataclass(frozen=True, slots=True)
class Region:
    """Pixels of a picture: columns from left to before right, rows from top to before bottom."""

    left: int
    top: int
    right: int
    bottom: int

    def of(self, image: Image) -> Image:
        """The part of an (H, W, 3) image; a view."""
        return image[self.top : self.bottom, self.left : self.right]

    def to_json(self) -> dict[str, int]:
        """The corners, in the picture's px."""
        return {"x1": self.left, "y1": self.top, "x2": self.right, "y2": self.bottom}


def find_boxes(model: Model, image: Image) -> Boxes:
    """Run a detector; one box per place, where `Model.predict` gives one per place and class.

    Args:
        model: its task is object-detection.
        image: (H, W, 3) uint8, RGB.

    Raises:
        ModelOutputError: the detector's scores are not numbers.
    """
    height, width = image.shape[:2]
    outputs = model.run(model.prepare(image).feeds, ["boxes_xyxy", "scores"])
    found = detect(outputs, model.spec, height=height, width=width, any_class=True)
    class_scores = np.asarray(outputs["scores"][0], np.float32)[found.rows]
    return Boxes(found.boxes_xyxy, found.scores, class_scores)


def largest_first(boxes: Boxes) -> NDArray[np.int64]:
    """Rows by area; of equal areas the better box is first."""
    sizes = boxes.boxes_xyxy[:, 2:] - boxes.boxes_xyxy[:, :2]
    return np.argsort(-sizes.prod(axis=1), kind="stable").astype(np.int64)


def best_of_face(boxes: Boxes, face: Floats | None) -> int | None:
    """The row of a face's best box, None where there is none.

    Args:
        boxes: that a detector found.
        face: (4,) left, top, right, bottom; None: the whole picture is the face, so any box is.
    """
    if face is None:
        return 0 if len(boxes.scores) else None
    rows = np.flatnonzero(_overlaps(boxes.boxes_xyxy, face) >= SAME_FACE_IOU)
    return int(rows[0]) if rows.size else None


def region_around(face: Floats, *, height: int, width: int, margin: float) -> Region:
    """The square around a face, within the picture.

    At a border the square is moved, not cut. Where the picture is narrower than the square, first
    the margin goes, and only where the face itself is longer than the picture is wide, the square.

    Args:
        face: (4,) left, top, right, bottom; px, within the picture.
        height: px, of the picture.
        width: px, of the picture.
        margin: added on each side, as a share of the face's longer side.
    """
    left, top, right, bottom = (float(value) for value in face)
    longer = max(right - left, bottom - top)
    shorter_side = min(height, width)
    side = longer * (1 + 2 * margin)
    if side > shorter_side:
        side = max(float(shorter_side), longer)
    whole = max(1, round(side))
    x, across = _span((left + right) / 2, whole, width)
    y, down = _span((top + bottom) / 2, whole, height)
    return Region(x, y, x + across, y + down)


def _span(middle: float, length: int, limit: int) -> tuple[int, int]:
    """Where a stretch of px begins, and how long it is, within 0 and the limit."""
    length = min(length, limit)
    return min(max(round(middle - length / 2), 0), limit - length), length


def _overlaps(boxes: Floats, face: Floats) -> NDArray[np.float64]:
    """(M,) intersection over union of each box with one that has area."""
    corners, one = boxes.astype(np.float64), face.astype(np.float64)
    sides = np.minimum(corners[:, 2:], one[2:]) - np.maximum(corners[:, :2], one[:2])
    shared = sides.clip(0).prod(axis=1)
    areas = (corners[:, 2:] - corners[:, :2]).prod(axis=1) + (one[2:] - one[:2]).prod()
    overlaps: NDArray[np.float64] = shared / (areas - shared)
    return overlaps

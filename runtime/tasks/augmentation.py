"""Test-time augmentation: views of an image that are mirrored, turned a little, darker or brighter.

The views are fixed, so that one file always gets the same answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.arrays import Image

Floats = NDArray[np.float32]
Tta = Literal["none", "flip", "full"]

# No graph takes a larger image. cv2.warpAffine walks a mirrored border reflection by reflection:
# turning an image of 400 000 x 3 px at full size took seven minutes.
_LONGEST_TURNED_PX = 1024


@dataclass(frozen=True, slots=True)
class View:
    """One way to transform an image before a model sees it."""

    name: str
    mirrored: bool = False
    degrees: float = 0.0  # counter-clockwise, around the centre
    gain: float = 1.0  # factor of the levels

    def apply(self, image: Image) -> Image:
        """Transform an (H, W, 3) uint8 image; turning shrinks its longer side to 1024 px."""
        if self.mirrored:
            return np.asarray(cv2.flip(image, 1), np.uint8)
        if self.gain != 1.0:
            return np.asarray(cv2.convertScaleAbs(image, alpha=self.gain), np.uint8)
        return _turn(image, self.degrees) if self.degrees else image

    def move_box(self, box: Floats, *, before: tuple[int, int], after: tuple[int, int]) -> Floats:
        """Return the place of a box in the transformed image.

        Turning moves the centre of the box and keeps its sides. For a few degrees the result
        overlaps the box that a detector finds there.

        Args:
            box: (4,) left, top, right, bottom; px of the original image.
            before: height and width of the original image, px.
            after: height and width of the transformed image, px.
        """
        scale = np.array([after[1] / before[1], after[0] / before[0]])
        corners = box.reshape(2, 2).astype(np.float64) * scale
        center, half = corners.mean(axis=0), (corners[1] - corners[0]) / 2
        if self.mirrored:
            center[0] = after[1] - center[0]
        if self.degrees:
            matrix = _rotation(*after, self.degrees)
            # boxes are in px edges, the matrix is in px centres: half a px there and back
            center = matrix[:, :2] @ (center - 0.5) + matrix[:, 2] + 0.5
        return np.concatenate([center - half, center + half]).astype(np.float32)


PLAIN = View("plain")
_FLIP = (PLAIN, View("mirrored", mirrored=True))
_TURNS = (View("turned left", degrees=8.0), View("turned right", degrees=-8.0))
_LIGHT = (View("darker", gain=0.8), View("brighter", gain=1.25))
VIEWS: Mapping[Tta, tuple[View, ...]] = {
    "none": (PLAIN,),
    "flip": _FLIP,
    "full": (*_FLIP, *_TURNS, *_LIGHT),
}


def _turn(image: Image, degrees: float) -> Image:
    height, width = image.shape[:2]
    scale = min(1.0, _LONGEST_TURNED_PX / max(height, width))
    if scale < 1.0:
        height, width = max(1, round(height * scale)), max(1, round(width * scale))
        image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))
    matrix = _rotation(height, width, degrees)
    # reflected corners: black ones would be edges that the network reacts to
    turned = cv2.warpAffine(
        image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(turned, np.uint8)


def _rotation(height: int, width: int, degrees: float) -> NDArray[np.float64]:
    center = ((width - 1) / 2, (height - 1) / 2)
    return np.asarray(cv2.getRotationMatrix2D(center, degrees, 1.0), np.float64)

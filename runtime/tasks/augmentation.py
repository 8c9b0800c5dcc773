"""Test-time augmentation: a picture also mirrored, turned a little, darker and brighter.

Always the same variants, so that one file has one answer.
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

# no graph sees more; and cv2.warpAffine walks a mirrored border reflection by reflection, which of
# 400 000 x 3 px took seven minutes
_LONGEST_TURNED_PX = 1024


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to look at a picture."""

    name: str
    mirrored: bool = False
    degrees: float = 0.0  # counter-clockwise, around the middle
    gain: float = 1.0  # of the levels

    def of(self, image: Image) -> Image:
        """(H, W, 3) uint8 in, the same out; of a long image that is turned, a smaller one."""
        if self.mirrored:
            return np.asarray(cv2.flip(image, 1), np.uint8)
        if self.gain != 1.0:
            return np.asarray(cv2.convertScaleAbs(image, alpha=self.gain), np.uint8)
        return _turned(image, self.degrees) if self.degrees else image

    def moved(self, box: Floats, *, before: tuple[int, int], after: tuple[int, int]) -> Floats:
        """Where a box of the picture is in the variant.

        Of a turned picture the box has its middle moved and its sides kept: for a few degrees it
        overlaps what a detector finds there.

        Args:
            box: (4,) left, top, right, bottom; px of the picture.
            before: height and width of the picture, px.
            after: height and width of the variant, px.
        """
        scale = np.array([after[1] / before[1], after[0] / before[0]])
        corners = box.reshape(2, 2).astype(np.float64) * scale
        middle, half = corners.mean(axis=0), (corners[1] - corners[0]) / 2
        if self.mirrored:
            middle[0] = after[1] - middle[0]
        if self.degrees:
            turn = _rotation(*after, self.degrees)
            middle = turn[:, :2] @ (middle - 0.5) + turn[:, 2] + 0.5  # of edges, of centres, back
        return np.concatenate([middle - half, middle + half]).astype(np.float32)


PLAIN = Variant("plain")
_FLIP = (PLAIN, Variant("mirrored", mirrored=True))
_TURNS = (Variant("turned left", degrees=8.0), Variant("turned right", degrees=-8.0))
_LIGHT = (Variant("darker", gain=0.8), Variant("brighter", gain=1.25))
VARIANTS: Mapping[Tta, tuple[Variant, ...]] = {
    "none": (PLAIN,),
    "flip": _FLIP,
    "full": (*_FLIP, *_TURNS, *_LIGHT),
}


def _turned(image: Image, degrees: float) -> Image:
    height, width = image.shape[:2]
    scale = min(1.0, _LONGEST_TURNED_PX / max(height, width))
    if scale < 1.0:
        height, width = max(1, round(height * scale)), max(1, round(width * scale))
        image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))
    turn = _rotation(height, width, degrees)
    # what comes in at the corners mirrors what is there: black would be an edge to look at
    turned = cv2.warpAffine(
        image, turn, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(turned, np.uint8)


def _rotation(height: int, width: int, degrees: float) -> NDArray[np.float64]:
    middle = ((width - 1) / 2, (height - 1) / 2)
    return np.asarray(cv2.getRotationMatrix2D(middle, degrees, 1.0), np.float64)

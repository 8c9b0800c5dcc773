"""Two pictures beside each other."""

import numpy as np
from numpy.typing import NDArray

from runtime.draw.canvas import PAPER, captioned, resized, widened
from runtime.draw.text import Picture

_HEIGHT_PX, _WIDEST_PX = 400, 800  # of each


def draw_pair(first: NDArray[np.uint8], second: NDArray[np.uint8], *, caption: str = "") -> Picture:
    """Two pictures, at the same height where neither is a strip, with a caption.

    Args:
        first: (H, W, 3) uint8, RGB.
        second: (H', W', 3) uint8, RGB.
        caption: below both; "" for none.
    """
    return captioned(beside(_sized(first), _sized(second)), caption)


def beside(first: Picture, second: Picture) -> Picture:
    """Side by side with a gap; the shorter has paper below."""
    height = max(first.shape[0], second.shape[0])
    gap = np.full((height, max(4, height // 50), 3), PAPER, np.uint8)
    left, right = (widened(picture, height=height, width=0) for picture in (first, second))
    return np.hstack([left, gap, right])


def _sized(image: Picture) -> Picture:
    height, width = image.shape[:2]
    scale = min(_HEIGHT_PX / height, _WIDEST_PX / width)
    return resized(image, max(1, round(height * scale)), max(1, round(width * scale)))

"""Draw two images side by side."""

import numpy as np

from runtime.arrays import Image
from runtime.draw.canvas import PAPER, add_caption, pad, resize

_HEIGHT_PX, _WIDEST_PX = 400, 800  # of each


def draw_pair(first: Image, second: Image, *, caption: str = "") -> Image:
    """Draw two images side by side, at the same height unless one is a wide strip.

    Args:
        first: (H, W, 3) uint8, RGB.
        second: (H', W', 3) uint8, RGB.
        caption: text below both; "" for none.
    """
    return add_caption(join(_fit(first), _fit(second)), caption)


def join(first: Image, second: Image) -> Image:
    """Put two pictures side by side with a gap, and paper below the shorter one."""
    height = max(first.shape[0], second.shape[0])
    gap = np.full((height, max(4, height // 50), 3), PAPER, np.uint8)
    left, right = (pad(picture, height=height, width=0) for picture in (first, second))
    return np.hstack([left, gap, right])


def _fit(image: Image) -> Image:
    height, width = image.shape[:2]
    scale = min(_HEIGHT_PX / height, _WIDEST_PX / width)
    return resize(image, max(1, round(height * scale)), max(1, round(width * scale)))

"""A picture beside its foreground over a chequerboard, which shows what is transparent."""

import numpy as np
from numpy.typing import NDArray

from runtime.draw.canvas import LARGEST_PX, captioned, fitted_scale, resized
from runtime.draw.side_by_side import beside
from runtime.draw.text import Picture

_LIGHT, _DARK = 255, 204  # grey levels, as image editors show transparency


def draw_matte(
    image: NDArray[np.uint8],
    cut_out: NDArray[np.uint8],
    alpha: NDArray[np.float32],
    *,
    caption: str = "",
) -> Picture:
    """The source on the left, what was cut out of it on the right.

    Args:
        image: (H, W, 3) uint8, RGB: the source.
        cut_out: (H, W, 3) uint8, RGB: the colours of the foreground; the source's own will do.
        alpha: (H, W) float32 in [0, 1].
        caption: below the picture; "" for none.
    """
    height, width = image.shape[:2]
    scale = min(fitted_scale(height, width), LARGEST_PX / 2 / width)
    sides = (max(1, round(height * scale)), max(1, round(width * scale)))
    levels = resized((alpha * 255).round().astype(np.uint8), *sides)[..., np.newaxis] / 255
    board = chequerboard(*sides)
    shown = resized(cut_out, *sides) * levels + board * (1 - levels)
    pair = beside(resized(image, *sides), shown.round().astype(np.uint8))
    return captioned(pair, caption)


def chequerboard(height: int, width: int) -> Picture:
    """(height, width, 3) uint8: squares of a size that is seen in a picture of this size."""
    side = max(4, max(height, width) // 48)
    rows, columns = np.arange(height) // side, np.arange(width) // side
    odd = (rows[:, np.newaxis] + columns) % 2 == 1
    grey = np.where(odd, _DARK, _LIGHT).astype(np.uint8)
    return np.repeat(grey[..., np.newaxis], 3, axis=2)

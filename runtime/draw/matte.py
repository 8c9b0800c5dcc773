"""Draw an image next to its foreground; a chequerboard shows where it is transparent."""

import numpy as np
from numpy.typing import NDArray

from runtime.arrays import Image
from runtime.draw.canvas import LARGEST_PX, add_caption, fitted_scale, resize
from runtime.draw.side_by_side import join

_LIGHT, _DARK = 255, 204  # grey levels, as in image editors


def draw_matte(
    image: Image,
    cut_out: Image,
    alpha: NDArray[np.float32],
    *,
    caption: str = "",
) -> Image:
    """Draw the source on the left and its cut-out on the right.

    Args:
        image: (H, W, 3) uint8, RGB: the source.
        cut_out: (H, W, 3) uint8, RGB: the colours of the foreground; may be the source.
        alpha: (H, W) float32 in [0, 1].
        caption: text below the picture; "" for none.
    """
    height, width = image.shape[:2]
    scale = min(fitted_scale(height, width), LARGEST_PX / 2 / width)
    sides = (max(1, round(height * scale)), max(1, round(width * scale)))
    levels = resize((alpha * 255).round().astype(np.uint8), *sides)[..., np.newaxis] / 255
    board = chequerboard(*sides)
    blended = resize(cut_out, *sides) * levels + board * (1 - levels)
    pair = join(resize(image, *sides), blended.round().astype(np.uint8))
    return add_caption(pair, caption)


def chequerboard(height: int, width: int) -> Image:
    """Return (height, width, 3) uint8 with grey squares that suit a picture of this size."""
    side = max(4, max(height, width) // 48)
    rows, columns = np.arange(height) // side, np.arange(width) // side
    odd = (rows[:, np.newaxis] + columns) % 2 == 1
    grey = np.where(odd, _DARK, _LIGHT).astype(np.uint8)
    return np.repeat(grey[..., np.newaxis], 3, axis=2)

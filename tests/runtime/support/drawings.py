"""Plain images, and the pixels of a colour."""

import numpy as np
from numpy.typing import NDArray

from runtime.arrays import Image

GREY = (100, 100, 100)


def plain(height: int, width: int, colour: tuple[int, int, int] = GREY) -> Image:
    """Return an image of one colour."""
    return np.full((height, width, 3), colour, np.uint8)


def where(image: Image, colour: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Return (H, W): True for the pixels of a colour."""
    return np.asarray((image == colour).all(axis=2))

"""Plain images as PNG files."""

import cv2
import numpy as np
from numpy.typing import NDArray


def png(image: NDArray[np.uint8]) -> bytes:
    """Encode an (H, W, 3) uint8 RGB image as PNG."""
    return cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()


def solid(red: int, green: int, blue: int, *, height: int = 20, width: int = 30) -> bytes:
    """Return a PNG of one colour."""
    return png(np.full((height, width, 3), (red, green, blue), np.uint8))


def half_white(*, height: int = 32, width: int = 48) -> NDArray[np.uint8]:
    """Return an (H, W, 3) uint8 image: its left half black, its right half white."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:, width // 2 :] = 255
    return image

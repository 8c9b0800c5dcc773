"""Scenes whose foreground and alpha are known."""

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.arrays import Image
from runtime.cutout.matting import Matte


def noise(*shape: int) -> Image:
    """Return uint8 noise, always the same for a shape."""
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, np.uint8)


def disc(height: int, width: int) -> tuple[Image, NDArray[np.float32]]:
    """Return an image of an orange disc with a soft edge on blue, and the alpha of the disc."""
    mask = np.zeros((height, width), np.uint8)
    cv2.circle(mask, (width // 2, height // 2), min(height, width) // 3, 255, -1)
    alpha = (cv2.GaussianBlur(mask, (0, 0), 3) / 255).astype(np.float32)
    share = alpha[..., np.newaxis]
    mixture = share * np.array([240, 150, 20]) + (1 - share) * np.array([20, 40, 160])
    return np.rint(mixture).astype(np.uint8), alpha


def coarse_matte(image: Image, alpha: NDArray[np.float32], cells: int = 32) -> Matte:
    """Return the matte that a mask of `cells` x `cells` values yields, at the image's size."""
    mask = cv2.resize(alpha, (cells, cells), interpolation=cv2.INTER_AREA)
    scaled = cv2.resize(mask, alpha.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return Matte(image, np.asarray(scaled, np.float32), max(alpha.shape) / cells)

"""Encoded images to RGB arrays."""

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.errors import DecodeError


def decode_image(data: bytes, *, max_pixels: int = 50_000_000) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise DecodeError("not an image")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)

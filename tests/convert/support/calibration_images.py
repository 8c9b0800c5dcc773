"""Folders of calibration images."""

from pathlib import Path

import cv2
import numpy as np


def write_images(directory: Path, count: int, *, suffix: str = ".png") -> Path:
    """Write images of 10 x 12 px, each of its own grey level, and return their directory."""
    directory.mkdir(exist_ok=True)
    for level in range(count):
        pixels = np.full((10, 12, 3), level, np.uint8)
        assert cv2.imwrite(str(directory / f"{level:03d}{suffix}"), pixels)
    return directory

"""Scaling an image, by OpenCV or as PIL and torchvision do."""

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.arrays import Image
from runtime.artifact.steps import Interpolation
from runtime.errors import InputError

_OPENCV_INTERPOLATION = {
    "nearest": cv2.INTER_NEAREST,
    "linear": cv2.INTER_LINEAR,
    "area": cv2.INTER_AREA,
    "cubic": cv2.INTER_CUBIC,
    "lanczos4": cv2.INTER_LANCZOS4,
}

# Filter weights held at once, 8 bytes each; a picture of 50 000 000 x 1 px has as many as pixels.
_WEIGHTS_AT_ONCE = 1 << 16


def resize(image: Image, *, height: int, width: int, interpolation: Interpolation) -> Image:
    """Scale an image to exactly (height, width) px.

    Args:
        image: (H, W, C) uint8.
        height: px, at least 1.
        width: px, at least 1.
        interpolation: OpenCV's terms; `linear_antialias` widens the triangle filter when shrinking.

    Returns:
        (height, width, C) uint8; the very same array where the size is already right.

    Raises:
        InputError: a side of the image, or one asked for, is zero.

    Source: `linear_antialias` follows PIL's BILINEAR (within 1 grey level), which torchvision uses.
    """
    if 0 in image.shape or height < 1 or width < 1:
        found = f"an image of {image.shape} to {height} x {width} (height x width)"
        raise InputError(f"cannot resize {found}; allowed: sides of at least 1 px")
    if image.shape[:2] == (height, width):
        return image
    if interpolation == "linear_antialias":
        return _resize_antialias(image, height, width)
    resized = cv2.resize(image, (width, height), interpolation=_OPENCV_INTERPOLATION[interpolation])
    return resized.reshape(height, width, image.shape[2]).astype(np.uint8, copy=False)


def _resize_antialias(image: Image, height: int, width: int) -> Image:
    # In float between the passes, where PIL rounds; so the order is free, and the one that leaves
    # less to the second pass goes first.
    if height * image.shape[1] <= image.shape[0] * width:
        resampled = _turn(_resample_rows(_turn(_resample_rows(image, height)), width))
    else:
        resampled = _resample_rows(_turn(_resample_rows(_turn(image), width)), height)
    rounded: Image = (resampled + 0.5).astype(np.uint8)  # no clipping: the weights are positive
    return rounded


def _turn(image: NDArray[Any]) -> NDArray[Any]:
    """(H, W, C) to (W, H, C)."""
    height, width, channels = image.shape
    return cv2.transpose(image).reshape(width, height, channels)


def _resample_rows(image: NDArray[Any], target: int) -> NDArray[Any]:
    """(H, W, C) to (target, W, C) float32, the very same array where the height is right.

    Row by row, so that the image is never in float as a whole (4 x its size), and by einsum, which
    stays in this thread: a product of matrices would wake BLAS' own threads for every image.
    """
    source = image.shape[0]
    if source == target:
        return image
    rows = image.reshape(source, -1)
    resampled = np.empty((target, rows.shape[1]), np.float32)
    for row, (first, weights) in zip(resampled, _triangle_taps(source, target), strict=True):
        taken = rows[first : first + len(weights)]
        np.einsum("t,tk->k", weights, taken, out=row, dtype=np.float32)
    return resampled.reshape(target, *image.shape[1:])


def _triangle_taps(source: int, target: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Per target row the first source row and the weights from there on, which sum to 1.

    A triangle filter, as wide as the scale asks; rows beyond the edge are left out.
    """
    scale = source / target
    support = max(scale, 1.0)
    step = max(1, int(_WEIGHTS_AT_ONCE / (2 * support + 1)))
    for start in range(0, target, step):
        centre = (np.arange(start, min(start + step, target)) + 0.5) * scale
        first = np.maximum((centre - support + 0.5).astype(np.int64), 0)
        last = np.minimum((centre + support + 0.5).astype(np.int64), source)
        index = first[:, np.newaxis] + np.arange((last - first).max())
        distance = np.abs(index + 0.5 - centre[:, np.newaxis]) / support
        weights = np.where(index < last[:, np.newaxis], np.maximum(1.0 - distance, 0.0), 0.0)
        weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
        for at, taps, used in zip(first, weights, last - first, strict=True):
            yield int(at), taps[:used]

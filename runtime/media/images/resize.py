"""Resize an image with OpenCV, or with the antialiased filter of PIL and torchvision."""

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

# Filter weights in memory at a time, 8 bytes each. A picture of 50 000 000 x 1 px needs as many
# weights as it has pixels.
_MAX_WEIGHTS = 1 << 16
# Values of source rows that are gathered at a time, 1 or 4 bytes each; they stay in a CPU's cache.
_MAX_GATHERED = 1 << 18


def resize(
    image: Image,
    *,
    height: int,
    width: int,
    interpolation: Interpolation,
    window: tuple[slice, slice] = (slice(None), slice(None)),
) -> Image:
    """Resize an image to exactly (height, width) px, and return the part inside a window.

    Args:
        image: (H, W, C) uint8.
        height: px, at least 1.
        width: px, at least 1.
        interpolation: OpenCV's terms, computed by cv2.resize, which does not antialias but for
            `area`; or `linear_antialias`, whose triangle filter widens when the image shrinks.
        window: rows and columns of the result, without a step; `linear_antialias` computes no
            others.

    Returns:
        (height, width, C) uint8, or as much of it as the window holds; a view of the image if it
        already has this size.

    Raises:
        InputError: a side of the image or of the result is zero.

    Source: `linear_antialias` follows PIL's BILINEAR, which torchvision uses, within 1 grey level.
    """
    if 0 in image.shape or height < 1 or width < 1:
        sizes = f"an image of {image.shape} to {height} x {width} (height x width)"
        raise InputError(f"cannot resize {sizes}; allowed: sides of at least 1 px")
    if image.shape[:2] == (height, width):
        return image[window]
    if interpolation == "linear_antialias":
        rows, columns = range(height)[window[0]], range(width)[window[1]]
        return _resize_antialias(image, height, width, rows, columns)
    resized = cv2.resize(image, (width, height), interpolation=_OPENCV_INTERPOLATION[interpolation])
    channels = image.shape[2]
    return resized.reshape(height, width, channels).astype(np.uint8, copy=False)[window]


def _resize_antialias(image: Image, height: int, width: int, rows: range, columns: range) -> Image:
    # PIL rounds between its two passes. Here the values stay float, so the order does not change
    # them, and the pass that leaves fewer pixels to the other goes first.
    if height * image.shape[1] <= image.shape[0] * width:
        resampled = _transpose(_resample_rows(image, height, rows))
        resampled = _transpose(_resample_rows(resampled, width, columns))
    else:
        resampled = _transpose(_resample_rows(_transpose(image), width, columns))
        resampled = _resample_rows(resampled, height, rows)
    resampled += np.float32(0.5)
    rounded: Image = resampled.astype(np.uint8)  # no clipping: the weights are positive
    return rounded


def _transpose(image: NDArray[Any]) -> NDArray[Any]:
    """Return an (H, W, C) image as (W, H, C)."""
    height, width, channels = image.shape
    return cv2.transpose(image).reshape(width, height, channels)


def _resample_rows(image: NDArray[Any], target: int, part: range) -> NDArray[Any]:
    """Resample (H, W, C) to (target, W, C) float32, and of that only the rows of a part.

    Return a view of the image if H is the target.

    The whole image is never in float (4 x its size), and nothing is allocated for a row: the system
    zeroes each new page, which takes longer than the products.
    """
    source = image.shape[0]
    if source == target:
        return image[part.start : part.stop]
    rows = image.reshape(source, -1)
    resampled = np.empty((len(part), rows.shape[1]), np.float32)
    for start, first, weights in _triangle_taps(source, target, part):
        _weigh_rows(rows, first, weights, out=resampled[start : start + len(first)])
    return resampled.reshape(len(part), *image.shape[1:])


def _weigh_rows(
    rows: NDArray[Any],
    first: NDArray[np.int64],
    weights: NDArray[np.float32],
    *,
    out: NDArray[np.float32],
) -> None:
    """Write to out, (R, K), for each row of (R, T) weights the sum of the source rows from `first`.

    einsum stays in this thread, whereas a product of matrices would wake BLAS' threads. It adds the
    taps one after the other, so the result does not depend on how many rows it takes at a time.
    """
    taps = weights.shape[1]
    count = _MAX_GATHERED // (taps * rows.shape[1])
    if count < 2:  # long rows: no copy of them
        for start, row_weights, result in zip(first.tolist(), weights, out, strict=True):
            source = rows[start : start + taps]
            np.einsum("t,tk->k", row_weights[: len(source)], source, out=result, dtype=np.float32)
        return
    buffer = np.empty((count, taps, rows.shape[1]), rows.dtype)
    for start in range(0, len(first), count):
        part = slice(start, start + count)
        index = first[part, np.newaxis] + np.arange(taps)  # beyond the last row the weights are 0
        gathered = buffer[: len(index)]
        np.take(rows, index, axis=0, out=gathered, mode="clip")
        np.einsum("rt,rtk->rk", weights[part], gathered, out=out[part], dtype=np.float32)


def _triangle_taps(
    source: int, target: int, part: range
) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.float32]]]:
    """Yield the taps of a part of the target rows, a batch at a time.

    The weights are those of a triangle filter whose width follows the scale. They sum to 1: rows
    beyond the edge of the image have no weight.

    Yields:
        The first row's index in the part, the first source row of each target row, (R,), and the
        weights from there on, (R, T).
    """
    scale = source / target
    support = max(scale, 1.0)
    step = max(1, int(_MAX_WEIGHTS / (2 * support + 1)))
    for start in range(0, len(part), step):
        batch = part[start : start + step]
        centre = (np.arange(batch.start, batch.stop) + 0.5) * scale
        first = np.maximum((centre - support + 0.5).astype(np.int64), 0)
        last = np.minimum((centre + support + 0.5).astype(np.int64), source)
        index = first[:, np.newaxis] + np.arange((last - first).max())
        distance = np.abs(index + 0.5 - centre[:, np.newaxis]) / support
        weights = np.where(index < last[:, np.newaxis], np.maximum(1.0 - distance, 0.0), 0.0)
        weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
        yield start, first, weights

"""Resize an image with OpenCV, or with the antialiased filters of PIL and torchvision."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
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

# PIL's weights are whole numbers of 2 ** -22: the sum of 8-bit values by weights, and what a cubic
# filter adds to it beyond white and black, fits into 32 bits.
_PIL_BITS = 22

# Filter weights in memory at a time, 8 bytes each. A picture of 50 000 000 x 1 px needs as many
# weights as it has pixels.
_MAX_WEIGHTS = 1 << 16
# Filters that are cached for the next image of the same size, and the most weights of one: 1 MB.
_CACHED_FILTERS, _CACHED_WEIGHTS = 8, 1 << 14
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
            `area`; or `pil_bilinear`, `pil_bicubic` or `linear_antialias`, whose filters widen
            when the image shrinks.
        window: rows and columns of the result, without a step; the filters compute no others.

    Returns:
        (height, width, C) uint8, or as much of it as the window holds; a view of the image if it
        already has this size.

    Raises:
        InputError: a side of the image or of the result is zero.

    Source: Pillow's Image.resize, which torchvision and timm call. `pil_bilinear` and `pil_bicubic`
        equal its BILINEAR and BICUBIC; `linear_antialias` follows BILINEAR within 1 grey level.
    """
    if 0 in image.shape or height < 1 or width < 1:
        sizes = f"an image of {image.shape} to {height} x {width} (height x width)"
        raise InputError(f"cannot resize {sizes}; allowed: sides of at least 1 px")
    if image.shape[:2] == (height, width):
        return image[window]
    rows, columns = range(height)[window[0]], range(width)[window[1]]
    if interpolation == "linear_antialias":
        return _resize_antialias(image, height, width, rows, columns)
    if interpolation in _PIL_FILTERS:
        return _resize_as_pil(image, height, width, rows, columns, _PIL_FILTERS[interpolation])
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


def _resize_as_pil(
    image: Image, height: int, width: int, rows: range, columns: range, pil_filter: "_Filter"
) -> Image:
    # PIL rounds between its two passes, so their order shows. This is the order of Pillow 13; up to
    # 12 the columns came first. The image between the passes is no larger than the source or the
    # result, whereas 50 000 000 x 1 px to 224 x 224 would be 224 times as large in the other order.
    lost_rows, lost_columns = image.shape[0] - height, image.shape[1] - width
    if lost_rows > 0 and lost_rows > 2 * lost_columns:
        resampled = _transpose(_resample_rows_as_pil(image, height, rows, pil_filter))
        return _transpose(_resample_rows_as_pil(resampled, width, columns, pil_filter))
    resampled = _transpose(_resample_rows_as_pil(_transpose(image), width, columns, pil_filter))
    return _resample_rows_as_pil(resampled, height, rows, pil_filter)


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
    for start, first, weights in _taps(source, target, part, _BILINEAR):
        out = resampled[start : start + len(first)]
        _weigh_rows(rows, first, weights.astype(np.float32), out=out)
    return resampled.reshape(len(part), *image.shape[1:])


def _resample_rows_as_pil(image: Image, target: int, part: range, pil_filter: "_Filter") -> Image:
    """Resample (H, W, C) to (target, W, C), and of that only the rows of a part.

    Return a view of the image if H is the target.
    """
    source = image.shape[0]
    if source == target:
        return image[part.start : part.stop]
    rows = image.reshape(source, -1)
    resampled = np.empty((len(part), rows.shape[1]), np.uint8)
    for start, first, weights in _taps(source, target, part, pil_filter):
        scaled = weights * (1 << _PIL_BITS)
        whole = (scaled + np.copysign(0.5, scaled)).astype(np.int32)  # halves away from zero
        count = max(1, _MAX_GATHERED // (weights.shape[1] * rows.shape[1]))
        sums = np.empty((min(count, len(first)), rows.shape[1]), np.int32)
        for offset in range(0, len(first), count):
            batch = slice(offset, offset + count)
            out = resampled[start : start + len(first)][batch]
            batch_sums = sums[: len(out)]
            _weigh_rows(rows, first[batch], whole[batch], out=batch_sums)
            batch_sums += 1 << (_PIL_BITS - 1)  # a half
            batch_sums >>= _PIL_BITS
            np.clip(batch_sums, 0, 255, out=out, casting="unsafe")
    return resampled.reshape(len(part), *image.shape[1:])


def _weigh_rows(
    rows: NDArray[Any],
    first: NDArray[np.int64],
    weights: NDArray[Any],
    *,
    out: NDArray[Any],
) -> None:
    """Write to out, (R, K), for each row of (R, T) weights the sum of the source rows from `first`.

    Weights and out are float32 or int32.

    einsum stays in this thread, whereas a product of matrices would wake BLAS' threads. It adds the
    taps one after the other, so the result does not depend on how many rows it takes at a time.
    """
    taps = weights.shape[1]
    count = _MAX_GATHERED // (taps * rows.shape[1])
    if count < 2:  # long rows: no copy of them
        for start, row_weights, result in zip(first.tolist(), weights, out, strict=True):
            source = rows[start : start + taps]
            np.einsum("t,tk->k", row_weights[: len(source)], source, out=result, dtype=out.dtype)
        return
    buffer = np.empty((count, taps, rows.shape[1]), rows.dtype)
    for start in range(0, len(first), count):
        part = slice(start, start + count)
        index = first[part, np.newaxis] + np.arange(taps)  # beyond the last row the weights are 0
        gathered = buffer[: len(index)]
        np.take(rows, index, axis=0, out=gathered, mode="clip")
        np.einsum("rt,rtk->rk", weights[part], gathered, out=out[part], dtype=out.dtype)


def _taps(
    source: int, target: int, part: range, resample_filter: "_Filter"
) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.float64]]]:
    """Yield the taps of a part of the target rows, a batch at a time.

    The filter's width follows the scale if the image shrinks. The weights sum to 1: rows beyond the
    edge of the image have no weight.

    Yields:
        The first row's index in the part, the first source row of each target row, (R,), and the
        weights from there on, (R, T), read-only.
    """
    width = 2 * resample_filter.reach * max(source / target, 1.0) + 1
    if len(part) * width <= _CACHED_WEIGHTS:
        yield 0, *_cached_taps(source, target, part, resample_filter)
        return
    step = max(1, int(_MAX_WEIGHTS / width))
    for start in range(0, len(part), step):
        yield start, *_compute_taps(source, target, part[start : start + step], resample_filter)


def _compute_taps(
    source: int, target: int, part: range, resample_filter: "_Filter"
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    scale = source / target
    stretch = max(scale, 1.0)
    reach = resample_filter.reach * stretch
    centre = (np.arange(part.start, part.stop) + 0.5) * scale
    first = np.maximum((centre - reach + 0.5).astype(np.int64), 0)
    last = np.minimum((centre + reach + 0.5).astype(np.int64), source)
    index = first[:, np.newaxis] + np.arange((last - first).max())
    distance = np.abs(index + 0.5 - centre[:, np.newaxis]) / stretch
    weights = np.where(index < last[:, np.newaxis], resample_filter.weigh(distance), 0.0)
    weights /= weights.sum(axis=1, keepdims=True)
    for array in (first, weights):
        array.setflags(write=False)  # others have the same one
    return first, weights


_cached_taps = lru_cache(maxsize=_CACHED_FILTERS)(_compute_taps)


def _triangle(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(1.0 - distance, 0.0)


def _cubic(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weigh by a cubic convolution of a = -0.5."""
    near = (1.5 * distance - 2.5) * distance * distance + 1
    far = (((distance - 5) * distance + 8) * distance - 4) * -0.5
    return np.where(distance < 1, near, np.where(distance < 2, far, 0.0))


@dataclass(frozen=True, slots=True)
class _Filter:
    weigh: Callable[[NDArray[np.float64]], NDArray[np.float64]]  # of distances in px
    reach: float  # px, beyond which it weighs nothing


_BILINEAR = _Filter(_triangle, 1.0)
_PIL_FILTERS = {"pil_bilinear": _BILINEAR, "pil_bicubic": _Filter(_cubic, 2.0)}

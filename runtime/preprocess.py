"""Geometry: from a decoded image to the size the graph takes. Numerics are inside the graph."""

from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.errors import InputError, TooLargeError
from runtime.manifest import CenterCrop, Grayscale, Interpolation, Letterbox, Resize, Step

Image = NDArray[np.uint8]

_OPENCV_INTERPOLATION = {
    "nearest": cv2.INTER_NEAREST,
    "linear": cv2.INTER_LINEAR,
    "area": cv2.INTER_AREA,
    "cubic": cv2.INTER_CUBIC,
    "lanczos4": cv2.INTER_LANCZOS4,
}

# Of the source image, where only the shorter side is fixed: a photo of 5000 x 1 px would become one
# of 1 280 000 x 256 px, a gigabyte.
_MAX_ASPECT = 50
# Filter weights held at once, 8 bytes each; a picture of 50 000 000 x 1 px has as many as pixels.
_WEIGHTS_AT_ONCE = 1 << 16


def preprocess(image: Image, steps: Sequence[Step]) -> Image:
    """Apply the steps of a spec in order.

    Args:
        image: (H, W, 3) uint8, RGB.
        steps: from `Spec.preprocess`.

    Returns:
        (H', W', C) uint8, contiguous, without the batch axis.

    Raises:
        InputError: a step does not take an image of this shape.
        TooLargeError: the memory does not hold what a step makes.
    """
    shape = image.shape
    try:
        for step in steps:
            image = _apply(image, step)
        return np.ascontiguousarray(image)
    except (MemoryError, cv2.error) as error:
        if isinstance(error, cv2.error) and error.code != cv2.Error.StsNoMem:
            raise
        raise TooLargeError(f"image of {shape} needs more memory than is free") from None


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


def letterbox(image: Image, step: Letterbox) -> Image:
    """Scale until the image just fits, keeping its aspect ratio, and fill the rest.

    Args:
        image: (H, W, C) uint8.
        step: the canvas, its fill and where the image lies on it.

    Returns:
        (step.height, step.width, C) uint8.

    Raises:
        InputError: a side of the image is zero.

    Source: the arithmetic of ultralytics' LetterBox.
    """
    if 0 in image.shape:
        raise InputError(f"cannot letterbox an image of {image.shape}; allowed: sides of 1 px")
    scale = min(step.height / image.shape[0], step.width / image.shape[1])
    scale = scale if step.enlarge else min(scale, 1.0)
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    scaled = resize(image, height=height, width=width, interpolation=step.interpolation)
    top, left = 0, 0
    if step.align == "center":  # of an odd rest, the larger part goes below and to the right
        top, left = (step.height - height) // 2, (step.width - width) // 2
    canvas = np.full((step.height, step.width, image.shape[2]), step.fill, np.uint8)
    canvas[top : top + height, left : left + width] = scaled
    return canvas


def center_crop(image: Image, *, height: int, width: int) -> Image:
    """Cut (height, width) px out of the middle of an (H, W, C) image.

    Offsets round half to even, as torchvision's.

    Raises:
        InputError: the image is smaller than the crop.
    """
    top, left = (image.shape[0] - height) / 2, (image.shape[1] - width) / 2
    if top < 0 or left < 0:
        found = f"{image.shape[1]} x {image.shape[0]}"
        raise InputError(f"image of {found} px is smaller than the crop of {width} x {height} px")
    y, x = round(top), round(left)
    return image[y : y + height, x : x + width]


def grayscale(image: Image) -> Image:
    """(H, W, 3) RGB to (H, W, 1).

    Raises:
        InputError: not three channels.
    """
    if image.ndim != 3 or image.shape[2] != 3:
        raise InputError(f"image of shape {image.shape} has no three channels to make grey")
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[:, :, np.newaxis].astype(np.uint8, copy=False)


def _apply(image: Image, step: Step) -> Image:
    match step:
        case Resize():
            height, width = _target_size(image, step)
            return resize(image, height=height, width=width, interpolation=step.interpolation)
        case Letterbox():
            return letterbox(image, step)
        case CenterCrop():
            return center_crop(image, height=step.height, width=step.width)
        case Grayscale():
            return grayscale(image)


def _target_size(image: Image, step: Resize) -> tuple[int, int]:
    if step.shortest_side is None:
        assert step.height is not None  # the manifest refuses the third form
        assert step.width is not None
        return step.height, step.width
    height, width = image.shape[:2]
    short, long = sorted((height, width))
    if long > _MAX_ASPECT * short:
        allowed = f"sides of at most {_MAX_ASPECT} : 1 where the shorter one decides the size"
        raise InputError(f"image of {width} x {height} px is too narrow; allowed: {allowed}")
    # truncated, as torchvision: rounding would shift the crop by half a pixel
    scaled = int(step.shortest_side * long / short)
    return (step.shortest_side, scaled) if height <= width else (scaled, step.shortest_side)


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

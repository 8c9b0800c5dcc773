"""Geometry: from a decoded image to the size the graph takes. Numerics are inside the graph."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.errors import InputError
from runtime.manifest import CenterCrop, Grayscale, Interpolation, Resize, Step

Image = NDArray[np.uint8]

_OPENCV_INTERPOLATION = {
    "nearest": cv2.INTER_NEAREST,
    "linear": cv2.INTER_LINEAR,
    "area": cv2.INTER_AREA,
    "cubic": cv2.INTER_CUBIC,
    "lanczos4": cv2.INTER_LANCZOS4,
}


def preprocess(image: Image, steps: Sequence[Step]) -> Image:
    """Apply the steps of a spec in order.

    Args:
        image: (H, W, 3) uint8, RGB.
        steps: from `Spec.preprocess`.

    Returns:
        (H', W', C) uint8, contiguous, without the batch axis.
    """
    for step in steps:
        image = _apply(image, step)
    return np.ascontiguousarray(image)


def resize(image: Image, *, height: int, width: int, interpolation: Interpolation) -> Image:
    """Scale an image to exactly (height, width) px.

    Args:
        image: (H, W, C) uint8.
        height, width: px, at least 1.
        interpolation: OpenCV's terms; `linear_antialias` widens the triangle filter when shrinking.

    Returns:
        (height, width, C) uint8.

    Source: `linear_antialias` follows PIL's BILINEAR (within 1 grey level), which torchvision uses.
    """
    if image.shape[:2] == (height, width):
        return image
    if interpolation == "linear_antialias":
        return _resize_antialias(image, height, width)
    resized = cv2.resize(image, (width, height), interpolation=_OPENCV_INTERPOLATION[interpolation])
    return resized.reshape(height, width, image.shape[2]).astype(np.uint8, copy=False)


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
    """(H, W, 3) RGB to (H, W, 1)."""
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[:, :, np.newaxis].astype(np.uint8, copy=False)


def _apply(image: Image, step: Step) -> Image:
    match step:
        case Resize():
            height, width = _target_size(image, step)
            return resize(image, height=height, width=width, interpolation=step.interpolation)
        case CenterCrop():
            return center_crop(image, height=step.height, width=step.width)
        case Grayscale():
            return grayscale(image)


def _target_size(image: Image, step: Resize) -> tuple[int, int]:
    if step.shortest_side is None:
        assert step.height is not None  # noqa: S101 - the manifest refuses the third form
        assert step.width is not None  # noqa: S101
        return step.height, step.width
    height, width = image.shape[:2]
    side = step.shortest_side
    # truncated, as torchvision: rounding would shift the crop by half a pixel
    if height <= width:
        return side, int(side * width / height)
    return int(side * height / width), side


def _resize_antialias(image: Image, height: int, width: int) -> Image:
    # columns first, rounded to whole levels between the passes: the order and rounding of PIL
    if image.shape[1] != width:
        image = _resample_axis(image, width, axis=1)
    if image.shape[0] != height:
        image = _resample_axis(image, height, axis=0)
    return image


def _resample_axis(image: Image, size: int, *, axis: int) -> Image:
    taps, weights = _triangle_taps(image.shape[axis], size)
    shape = (size, 1, 1) if axis == 0 else (1, size, 1)
    total = np.zeros(
        (size, *image.shape[1:]) if axis == 0 else (image.shape[0], size, image.shape[2]),
        np.float32,
    )
    for tap, weight in zip(taps, weights, strict=True):
        total += np.take(image, tap, axis=axis) * weight.reshape(shape)
    rounded: Image = np.clip(np.floor(total + 0.5), 0, 255).astype(np.uint8)
    return rounded


def _triangle_taps(source: int, target: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Source indices and weights, both (taps, target), of a triangle filter with antialiasing."""
    scale = source / target
    support = max(scale, 1.0)
    centre = (np.arange(target) + 0.5) * scale
    first = np.maximum((centre - support + 0.5).astype(np.int64), 0)
    last = np.minimum((centre + support + 0.5).astype(np.int64), source)
    offsets = np.arange(int((last - first).max()))[:, np.newaxis]
    index = first + offsets
    weight = np.maximum(0.0, 1.0 - np.abs((index - centre + 0.5) / support))
    weight[index >= last] = 0.0
    weight /= weight.sum(axis=0)
    return np.minimum(index, source - 1).astype(np.intp), weight.astype(np.float32)

"""From a decoded image to the size the graph takes. Numerics are inside the graph."""

from collections.abc import Sequence

import cv2
import numpy as np

from runtime.arrays import Image
from runtime.artifact.steps import (
    CenterCrop,
    Grayscale,
    ImageStep,
    Letterbox,
    Resize,
    Step,
    image_steps,
)
from runtime.errors import InputError, TooLargeError
from runtime.media.images.geometry import Layout, lay_out
from runtime.media.images.resize import resize


def preprocess(image: Image, steps: Sequence[Step]) -> Image:
    """Apply the steps of a spec in order.

    Args:
        image: (H, W, 3) uint8, RGB.
        steps: from `Spec.preprocess`; those that are not about pictures are passed over.

    Returns:
        (H', W', C) uint8, contiguous, without the batch axis.

    Raises:
        InputError: a step does not take an image of this shape.
        TooLargeError: the memory does not hold what a step makes.
    """
    shape = image.shape
    try:
        for step in image_steps(steps):
            image = _apply(image, step)
        return np.ascontiguousarray(image)
    except (MemoryError, cv2.error) as error:
        if isinstance(error, cv2.error) and error.code != cv2.Error.StsNoMem:
            raise
        raise TooLargeError(f"image of {shape} needs more memory than is free") from None


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
    fit = _layout(image, step)
    scaled = resize(image, height=fit.height, width=fit.width, interpolation=step.interpolation)
    if scaled.shape[:2] == (step.height, step.width):
        return scaled
    canvas = np.full((step.height, step.width, image.shape[2]), step.fill, np.uint8)
    canvas[fit.top : fit.top + fit.height, fit.left : fit.left + fit.width] = scaled
    return canvas


def center_crop(image: Image, *, height: int, width: int) -> Image:
    """Cut (height, width) px out of the middle of an (H, W, C) image.

    Offsets round half to even, as torchvision's.

    Raises:
        InputError: the image is smaller than the crop.
    """
    layout = _layout(image, CenterCrop(height, width))
    y, x = -layout.top, -layout.left
    return image[y : y + height, x : x + width]


def grayscale(image: Image) -> Image:
    """(H, W, 3) RGB to (H, W, 1).

    Raises:
        InputError: not three channels.
    """
    if image.ndim != 3 or image.shape[2] != 3:
        raise InputError(f"image of shape {image.shape} has no three channels to make grey")
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[:, :, np.newaxis].astype(np.uint8, copy=False)


def _apply(image: Image, step: ImageStep) -> Image:
    match step:
        case Resize():
            to = _layout(image, step)
            return resize(image, height=to.height, width=to.width, interpolation=step.interpolation)
        case Letterbox():
            return letterbox(image, step)
        case CenterCrop():
            return center_crop(image, height=step.height, width=step.width)
        case Grayscale():
            return grayscale(image)


def _layout(image: Image, step: ImageStep) -> Layout:
    height, width = image.shape[:2]
    return lay_out(height, width, step)

"""Apply the geometric steps of a spec to a decoded image. Numerics are inside the graph."""

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
        steps: from `Spec.preprocess`; steps for other media are skipped.

    Returns:
        (H', W', C) uint8, contiguous, without the batch axis.

    Raises:
        InputError: a step does not accept an image of this shape.
        TooLargeError: out of memory.
    """
    shape = image.shape
    try:
        remaining: Sequence[ImageStep] = image_steps(steps)
        while remaining:
            match remaining:
                case [Resize() as step, CenterCrop() as crop, *remaining]:
                    image = _resize_and_crop(image, step, crop)
                case [step, *remaining]:
                    image = _apply(image, step)
        return np.ascontiguousarray(image)
    except (MemoryError, cv2.error) as error:
        if isinstance(error, cv2.error) and error.code != cv2.Error.StsNoMem:
            raise
        raise TooLargeError(f"image of {shape} needs more memory than is free") from None


def letterbox(image: Image, step: Letterbox) -> Image:
    """Scale an image to fit a canvas, keeping its aspect ratio, and fill the rest of the canvas.

    Args:
        image: (H, W, C) uint8.
        step: size and fill of the canvas, and the alignment of the image on it.

    Returns:
        (step.height, step.width, C) uint8.

    Raises:
        InputError: a side of the image is zero.

    Source: ultralytics' LetterBox, whose rounding this follows.
    """
    layout = _layout(image, step)
    rows = slice(layout.top, layout.top + layout.height)
    columns = slice(layout.left, layout.left + layout.width)
    scaled = resize(
        image, height=layout.height, width=layout.width, interpolation=step.interpolation
    )
    if scaled.shape[:2] == (step.height, step.width):
        return scaled
    canvas = np.full((step.height, step.width, image.shape[2]), step.fill, np.uint8)
    canvas[rows, columns] = scaled
    return canvas


def center_crop(image: Image, *, height: int, width: int) -> Image:
    """Return the middle (height, width) px of an (H, W, C) image, as a view.

    Offsets round half to even, as in torchvision.

    Raises:
        InputError: the image is smaller than the crop.
    """
    layout = _layout(image, CenterCrop(height, width))
    top, left = -layout.top, -layout.left
    return image[top : top + height, left : left + width]


def grayscale(image: Image) -> Image:
    """Convert (H, W, 3) RGB to (H, W, 1) grey with the weights 0.299, 0.587 and 0.114.

    Raises:
        InputError: not three channels.
    """
    if image.ndim != 3 or image.shape[2] != 3:
        raise InputError(f"image of shape {image.shape} has no three channels to make grey")
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[:, :, np.newaxis].astype(np.uint8, copy=False)


def _apply(image: Image, step: ImageStep) -> Image:
    match step:
        case Resize():
            size = _layout(image, step)
            return resize(
                image, height=size.height, width=size.width, interpolation=step.interpolation
            )
        case Letterbox():
            return letterbox(image, step)
        case CenterCrop():
            return center_crop(image, height=step.height, width=step.width)
        case Grayscale():
            return grayscale(image)


def _resize_and_crop(image: Image, step: Resize, crop: CenterCrop) -> Image:
    """Apply both steps, and compute no pixel that the second cuts off."""
    size = _layout(image, step)
    cut = lay_out(size.height, size.width, crop)
    rows = slice(-cut.top, crop.height - cut.top)
    columns = slice(-cut.left, crop.width - cut.left)
    return resize(
        image,
        height=size.height,
        width=size.width,
        interpolation=step.interpolation,
        window=(rows, columns),
    )


def _layout(image: Image, step: ImageStep) -> Layout:
    height, width = image.shape[:2]
    return lay_out(height, width, step)

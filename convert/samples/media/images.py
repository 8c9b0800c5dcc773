"""Images: (H, W, 3) uint8 RGB."""

from functools import partial
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from convert.errors import VerificationError
from convert.recipe import Loaded
from convert.samples import procedural
from convert.samples.media.modality import Modality, Warn, ignore_warning
from runtime.arrays import Image
from runtime.engine.session import Feeds
from runtime.media.images.decode import decode_photo
from runtime.media.images.preprocess import preprocess
from runtime.media.suffixes import IMAGES

BLUR_PX, GREY_STEP = 15, np.uint8(32)  # of a simplified image: median filter, levels merged to one


def images(kind: Literal["scene", "face"]) -> Modality:
    """Return the modality of photos; synthetic ones show scenes or faces."""
    return Modality(
        noun="images",
        suffixes=IMAGES,
        generate=partial(procedural.generate_images, kind),
        read=_read,
        simplify=_simplify,
        encode=_encode_png,
        to_feeds=_to_feeds,
    )


def _read(data: bytes, warn: Warn = ignore_warning) -> Image:
    photo = decode_photo(data)
    for warning in photo.warnings:
        warn(warning)
    return photo.pixels


def _to_feeds(image: Image, loaded: Loaded, warn: Warn = ignore_warning) -> Feeds:
    del warn
    (tensor,) = loaded.input.tensors
    return {tensor.name: preprocess(image, loaded.preprocess)[np.newaxis]}


def _simplify(image: Image) -> Image:
    smooth: Image = cv2.medianBlur(image, BLUR_PX).astype(np.uint8, copy=False)
    return smooth // GREY_STEP * GREY_STEP


def _encode_png(image: NDArray[Any]) -> bytes:
    is_written, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not is_written:
        raise VerificationError("OpenCV cannot encode PNG")
    return data.tobytes()

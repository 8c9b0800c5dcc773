"""Images: (H, W, 3) uint8 RGB."""

from functools import partial
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from convert.errors import VerificationError
from convert.recipe import Loaded
from convert.samples import procedural
from convert.samples.media.modality import Modality
from runtime.engine.session import Feeds
from runtime.media.images.decode import decode_image
from runtime.media.images.preprocess import preprocess
from runtime.media.suffixes import IMAGES

PLAIN_BLUR, PLAIN_STEP = 15, np.uint8(32)  # px; grey levels that become one


def images(kind: Literal["scene", "face"]) -> Modality:
    """Photos of a kind: what is drawn where nobody gave any."""
    return Modality(
        noun="images",
        suffixes=IMAGES,
        generate=partial(procedural.generate_images, kind),
        read=decode_image,
        simplify=_simplify,
        encode=_png,
        to_feeds=_to_feeds,
    )


def _to_feeds(image: NDArray[np.uint8], loaded: Loaded) -> Feeds:
    (tensor,) = loaded.input.tensors
    return {tensor.name: preprocess(image, loaded.preprocess)[np.newaxis]}


def _simplify(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    smooth: NDArray[np.uint8] = cv2.medianBlur(image, PLAIN_BLUR).astype(np.uint8, copy=False)
    return smooth // PLAIN_STEP * PLAIN_STEP


def _png(image: NDArray[Any]) -> bytes:
    written, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not written:
        raise VerificationError("OpenCV cannot encode PNG")
    return data.tobytes()

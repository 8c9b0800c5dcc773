"""The format of an encoded image, by its first bytes."""

from typing import Literal, get_args

from runtime.errors import DecodeError
from runtime.media.signatures import type_name

ImageFormat = Literal["JPEG", "PNG", "WebP", "BMP", "GIF"]
IMAGE_FORMATS: tuple[ImageFormat, ...] = get_args(ImageFormat)


def image_format(data: bytes) -> ImageFormat:
    """Return the format of an image.

    Raises:
        DecodeError: empty, or not one of IMAGE_FORMATS; the message names other known types.
    """
    allowed = f"allowed: {', '.join(IMAGE_FORMATS)}"
    if not data:
        raise DecodeError(f"the image is empty; {allowed}")
    name = type_name(data)
    for supported in IMAGE_FORMATS:
        if name == supported:
            return supported
    content = name or f"{len(data)} bytes that begin {data[:8].hex(' ')}"
    raise DecodeError(f"found {content}; {allowed}")

"""Decode images to RGB arrays: JPEG, PNG, WebP, BMP and GIF.

OpenCV decodes in native code and would accept many more formats. The bytes are untrusted, so
`runtime.media.images.headers` first reads format, size and orientation, and reduces the file to its
first picture. The result equals Pillow's `ImageOps.exif_transpose(image).convert("RGB")` but for:

- 16-bit grey, which becomes its high byte; Pillow clips it at 255.
- CMYK, which differs by 1 level at most.
- an orientation in XMP only, which is not applied.
- a JPEG damaged inside but with its end marker, which is decoded as far as it goes.
"""

import cv2
import numpy as np

from runtime.arrays import Image
from runtime.errors import DecodeError, TooLargeError
from runtime.media.images.headers import Still, read_still

# OpenCV would print each refusal to stderr, the server's log, whenever a client provokes it
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

# As cv2.flip takes it: 0 rows, 1 columns, -1 both. EXIF orientations 1 to 4 flip so, in this order;
# 5 to 8 do the same after a transposition.
_FLIPS = (None, 1, -1, 0)


def decode_image(data: bytes, *, max_pixels: int = 50_000_000) -> Image:
    """Decode the first picture of an image file and turn it upright.

    Alpha is dropped, not blended: a transparent pixel keeps its stored colour. Palettes are looked
    up, grey is repeated, CMYK is converted without a profile, 16 bits become their high byte.

    Args:
        data: a whole JPEG, PNG, WebP, BMP or GIF file; its first bytes decide the format.
        max_pixels: largest width * height in px, checked before anything is allocated.

    Returns:
        (H, W, 3) uint8, RGB.

    Raises:
        DecodeError: empty, another format, truncated or corrupt.
        TooLargeError: more than max_pixels, or out of memory.
    """
    try:
        still = read_still(data, max_pixels=max_pixels)
        return _orient(_place_on_canvas(_decode(still), still), still.orientation)
    except MemoryError:
        raise TooLargeError(f"image of {len(data)} bytes needs more memory than is free") from None


def _decode(still: Still) -> Image:
    """Decode with OpenCV, and check that the size is the one in the header."""
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(still.file, np.uint8), flags)
    except cv2.error:
        image = None
    if image is None:
        size = f"{still.width} x {still.height}"
        raise DecodeError(f"{still.format} of {size} px is truncated or corrupt")
    picture = still.position or still
    if image.shape != (picture.height, picture.width, 3):
        claim, size = f"{picture.width} x {picture.height}", f"{image.shape[1]} x {image.shape[0]}"
        raise DecodeError(f"{still.format} says {claim} px and holds {size}")
    return image.astype(np.uint8, copy=False)


def _place_on_canvas(image: Image, still: Still) -> Image:
    position = still.position
    if position is None or image.shape[:2] == (still.height, still.width):
        return image
    canvas = np.empty((still.height, still.width, 3), np.uint8)
    canvas[:] = position.fill
    rows = slice(position.top, position.top + position.height)
    columns = slice(position.left, position.left + position.width)
    canvas[rows, columns] = image
    return canvas


def _orient(image: Image, orientation: int) -> Image:
    """Turn and flip a picture by its EXIF orientation, 1 to 8."""
    if orientation > len(_FLIPS):
        image = cv2.transpose(image).astype(np.uint8, copy=False)
    flip = _FLIPS[(orientation - 1) % len(_FLIPS)]
    return image if flip is None else cv2.flip(image, flip).astype(np.uint8, copy=False)

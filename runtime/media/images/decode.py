"""Encoded images to RGB arrays: JPEG, PNG, WebP, BMP and GIF, and nothing else.

The bytes are untrusted and OpenCV's decoders are native code, so `runtime.media.images.headers`
reads the header first: kind, size, orientation, and a file reduced to its first picture. What
differs from Pillow's `ImageOps.exif_transpose(image).convert("RGB")`:

- 16-bit grey is reduced to its high byte; Pillow clips it at 255.
- CMYK differs by 1 level, BMP and JPEG otherwise by none.
- An orientation that stands only in XMP is not applied.
- A JPEG that is damaged inside, with its end marker in place, is decoded as far as it goes.
"""

import cv2
import numpy as np

from runtime.arrays import Image
from runtime.errors import DecodeError, TooLargeError
from runtime.media.images.headers import Still, read_still

# Refusals are reported by exceptions; OpenCV would repeat each on stderr, at a client's will.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

# As cv2.flip takes it: 0 rows, 1 columns, -1 both. EXIF orientations 1 to 4 flip so, in this order;
# 5 to 8 do the same after a transposition.
_FLIPS = (None, 1, -1, 0)


def decode_image(data: bytes, *, max_pixels: int = 50_000_000) -> Image:
    """Decode the first picture of an image file, upright.

    Alpha is dropped, not blended: a transparent pixel has the colour stored for it. Palettes are
    looked up, grey is repeated, CMYK is converted without a profile, 16 bits become their high
    byte.

    Args:
        data: a whole JPEG, PNG, WebP, BMP or GIF file, told by its content.
        max_pixels: largest width * height in px; told from the header, before anything is
            allocated.

    Returns:
        (H, W, 3) uint8, RGB.

    Raises:
        DecodeError: empty, of another kind, truncated or corrupt.
        TooLargeError: more than max_pixels, or than the memory holds.
    """
    try:
        still = read_still(data, max_pixels=max_pixels)
        return _orient(_place(_decode(still), still), still.orientation)
    except MemoryError:
        raise TooLargeError(f"image of {len(data)} bytes needs more memory than is free") from None


def _decode(still: Still) -> Image:
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(still.file, np.uint8), flags)
    except cv2.error:
        image = None
    if image is None:
        size = f"{still.width} x {still.height}"
        raise DecodeError(f"{still.kind} of {size} px is truncated or corrupt")
    frame = still.placement or still
    if image.shape != (frame.height, frame.width, 3):
        found = f"{image.shape[1]} x {image.shape[0]}"
        raise DecodeError(f"{still.kind} says {frame.width} x {frame.height} px and holds {found}")
    return image.astype(np.uint8, copy=False)


def _place(image: Image, still: Still) -> Image:
    spot = still.placement
    if spot is None or image.shape[:2] == (still.height, still.width):
        return image
    canvas = np.empty((still.height, still.width, 3), np.uint8)
    canvas[:] = spot.fill
    canvas[spot.top : spot.top + spot.height, spot.left : spot.left + spot.width] = image
    return canvas


def _orient(image: Image, orientation: int) -> Image:
    if orientation > len(_FLIPS):
        image = cv2.transpose(image).astype(np.uint8, copy=False)
    flip = _FLIPS[(orientation - 1) % len(_FLIPS)]
    return image if flip is None else cv2.flip(image, flip).astype(np.uint8, copy=False)

"""Decode images to sRGB arrays: JPEG, PNG, WebP, BMP, GIF and AVIF; HEIC with PyAV.

OpenCV decodes in native code and would accept many more formats. The bytes are untrusted, so
`runtime.media.images.headers` first reads format, size and orientation, and reduces the file to its
first picture. Without a colour profile, the result equals Pillow's
`ImageOps.exif_transpose(image).convert("RGB")` but for:

- 16-bit grey, which becomes its high byte; Pillow clips it at 255.
- CMYK, which differs by 1 level at most.
- an orientation in XMP only, which is not applied: EXIF decides, as in browsers and cameras.
- a JPEG damaged inside but with its end marker, which is decoded as far as it goes.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from runtime.arrays import Image
from runtime.errors import DecodeError, TooLargeError
from runtime.media.images import hevc
from runtime.media.images.colour.cicp import read_cicp
from runtime.media.images.colour.icc import ProfileError, read_icc
from runtime.media.images.colour.srgb import to_srgb
from runtime.media.images.headers import ColourTags, Still, read_still

# OpenCV would print each refusal to stderr, the server's log, whenever a client provokes it
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

APPROXIMATED = "the colour profile has a lookup table: its matrix was used, which is less exact"

# As cv2.flip takes it: 0 rows, 1 columns, -1 both. EXIF orientations 1 to 4 flip so, in this order;
# 5 to 8 do the same after a transposition.
_FLIPS = (None, 1, -1, 0)


@dataclass(frozen=True, slots=True)
class Photo:
    """A decoded image, upright, and what its reader should know."""

    pixels: Image  # (H, W, 3) uint8, sRGB
    alpha: Image | None = None  # (H, W) uint8, 255 is opaque; None: all opaque
    warnings: tuple[str, ...] = ()  # ASCII sentences, for example about a damaged profile


def decode_image(data: bytes, *, max_pixels: int = 50_000_000) -> Image:
    """Decode the first picture of an image file to (H, W, 3) uint8 sRGB, as `decode_photo`."""
    return decode_photo(data, max_pixels=max_pixels).pixels


def decode_photo(data: bytes, *, max_pixels: int = 50_000_000, with_alpha: bool = False) -> Photo:
    """Decode the first picture of an image file, turn it upright and convert it to sRGB.

    Alpha is not blended: a transparent pixel keeps its stored colour. Palettes are looked up, grey
    is repeated, CMYK is converted without a profile, 16 bits become their high byte. Colours are
    converted by the file's profile or code points; where those cannot be used, a warning says so
    and the colours count as sRGB.

    Args:
        data: a whole JPEG, PNG, WebP, BMP, GIF or AVIF file, or HEIC if PyAV is installed; its
            first bytes decide the format.
        max_pixels: largest width * height in px, checked before anything is allocated.
        with_alpha: also decode the opacity, which takes a second pass over such a file.

    Raises:
        DecodeError: empty, another format, truncated or corrupt.
        TooLargeError: more than max_pixels, or out of memory.
    """
    try:
        still = read_still(data, max_pixels=max_pixels)
        alpha = _decode_alpha(still) if with_alpha else None
        pixels = _orient(_place_on_canvas(_decode(still), still), still.orientation)
        return Photo(pixels, alpha, _convert_to_srgb(pixels, still.colours))
    except MemoryError:
        raise TooLargeError(f"image of {len(data)} bytes needs more memory than is free") from None


def _decode(still: Still) -> Image:
    """Decode, and check that the size is the one in the header."""
    if still.coded is not None:
        return hevc.decode(still.coded)
    # OpenCV 5.0 returns BGR for RGB if an AVIF has alpha
    order = cv2.IMREAD_COLOR_BGR if still.format == "AVIF" else cv2.IMREAD_COLOR_RGB
    try:
        image = cv2.imdecode(
            np.frombuffer(still.file, np.uint8), order | cv2.IMREAD_IGNORE_ORIENTATION
        )
    except cv2.error:
        image = None
    if image is None:
        size = f"{still.width} x {still.height}"
        raise DecodeError(f"{still.format} of {size} px is truncated or corrupt")
    picture = still.position or still
    if image.shape != (picture.height, picture.width, 3):
        claim, size = f"{picture.width} x {picture.height}", f"{image.shape[1]} x {image.shape[0]}"
        raise DecodeError(f"{still.format} says {claim} px and holds {size}")
    if still.format == "AVIF":
        cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)
    return image.astype(np.uint8, copy=False)


def _decode_alpha(still: Still) -> Image | None:
    """Return the opacity of a picture, (H, W) uint8; None if every pixel is opaque.

    Around a picture that does not fill its canvas, the opacity is 0.
    """
    if still.alpha is None:
        return None
    if still.alpha.coded is not None:
        return _check_opacity(hevc.decode(still.alpha.coded, is_grey=True), still)
    data = np.frombuffer(still.alpha.make_file(), np.uint8)
    flags = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(data, flags if still.alpha.is_grey else cv2.IMREAD_UNCHANGED)
    except cv2.error:
        image = None
    picture = still.position or still
    if image is None or image.shape[:2] != (picture.height, picture.width):
        raise DecodeError(f"{still.format} has alpha that is truncated or corrupt")
    if not still.alpha.is_grey:
        if image.ndim != 3 or image.shape[2] != 4:
            return None
        image = cv2.extractChannel(image, 3)
    if image.dtype == np.uint16:
        image = cv2.convertScaleAbs(image, alpha=255 / still.alpha.maximum)
    return _check_opacity(_place_on_canvas(image.astype(np.uint8, copy=False), still), still)


def _check_opacity(alpha: Image, still: Still) -> Image | None:
    """Return the opacity upright; None if every pixel is opaque."""
    return None if int(alpha.min()) == 255 else _orient(alpha, still.orientation)


def _convert_to_srgb(pixels: Image, colours: ColourTags) -> tuple[str, ...]:
    """Convert pixels in place by the tags of their file; return the warnings."""
    if colours.fault:
        return (_unused_profile(colours.fault),)
    try:
        if colours.code_points:
            to_srgb(pixels, read_cicp(colours.code_points))
        elif colours.icc:
            space, exact = read_icc(colours.icc)
            to_srgb(pixels, space)
            return () if exact else (APPROXIMATED,)
    except ProfileError as error:
        return (_unused_profile(str(error)),)
    return ()


def _unused_profile(reason: str) -> str:
    return f"the colour profile {reason}: the colours count as sRGB"


def _place_on_canvas(image: Image, still: Still) -> Image:
    """Place RGB pixels or alpha on the canvas, which is transparent around them."""
    position = still.position
    if position is None or image.shape[:2] == (still.height, still.width):
        return image
    canvas = np.zeros((still.height, still.width, *image.shape[2:]), np.uint8)
    if image.ndim == 3:
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

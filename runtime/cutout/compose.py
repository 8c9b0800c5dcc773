"""Encode a foreground as an image file, transparent or in front of a backdrop."""

import re
from collections.abc import Iterator, Mapping
from typing import Literal

import cv2
import numpy as np

from runtime.arrays import Image
from runtime.cutout.png import encode_png
from runtime.cutout.tiles import covering
from runtime.errors import InputError

Colour = tuple[int, int, int]  # red, green, blue, 0 to 255
Format = Literal["png", "webp", "jpeg"]
# Behind the foreground: a colour; an image (h, w, 3) RGB, or (h, w, 4) with straight alpha, through
# which the transparency behind it shows; None: transparency alone
Backdrop = Colour | Image | None

MEDIA_TYPES: Mapping[Format, str] = {
    "png": "image/png",
    "webp": "image/webp",
    "jpeg": "image/jpeg",
}
# px: limits of the encoders; for PNG, of libpng, with which most programs read
LONGEST_SIDES: Mapping[Format, int] = {"png": 1_000_000, "webp": 16_383, "jpeg": 65_500}
QUALITY = 90  # of JPEG and WebP; the alpha of WebP is lossless
STRIP_ROWS = 64  # blended at once: 50 million pixels in float32 would take 600 MB
_HEX_COLOUR = re.compile(r"#?([0-9a-f]{3}|[0-9a-f]{6})", re.ASCII | re.IGNORECASE)


def parse_colour(text: str) -> Colour | None:
    """Parse #rrggbb or #rgb, with or without the #; return None for any other text."""
    match = _HEX_COLOUR.fullmatch(text)
    if match is None:
        return None
    digits = match[1] if len(match[1]) == 6 else "".join(digit * 2 for digit in match[1])
    red, green, blue = bytes.fromhex(digits)
    return red, green, blue


def check_sides(height: int, width: int, form: Format) -> None:
    """Refuse an image whose sides are too long for the encoder of a format.

    Raises:
        InputError: a side is too long for the format.
    """
    longest = LONGEST_SIDES[form]
    if max(height, width) > longest:
        raise InputError(
            f"image is {width} x {height} px; allowed: sides of {longest} px, "
            f"as the answer's format is {form}"
        )


def limit_side(image: Image, longest_px: int) -> Image:
    """Shrink an (H, W, 3) image to a longer side of at most `longest_px`; never enlarge it."""
    height, width = image.shape[:2]
    if max(height, width) <= longest_px:
        return image
    scale = longest_px / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def multiply_alpha(first: Image, second: Image) -> Image:
    """Return the product of two planes of opacity, (H, W) uint8 each, where 255 is opaque."""
    return np.asarray(cv2.multiply(first, second, scale=1 / 255), np.uint8)


def is_transparent(backdrop: Backdrop) -> bool:
    """Return whether a cut-out in front of this backdrop has transparent parts."""
    return backdrop is None or (isinstance(backdrop, np.ndarray) and backdrop.shape[2] == 4)


def cover(backdrop: Image, *, height: int, width: int) -> Image:
    """Crop the middle of an image so that, scaled, it covers height x width px.

    Returns:
        The crop, shrunk to height x width px if it is larger. A smaller crop keeps its size;
        `compose_strips` enlarges it strip by strip.
    """
    high, wide = backdrop.shape[:2]
    scale = max(height / high, width / wide)
    rows, columns = (
        _middle(length, max(1, round(target / scale)))
        for length, target in ((high, height), (wide, width))
    )
    crop = backdrop[rows, columns]
    if scale >= 1:
        return crop
    shrunk = cv2.resize(crop, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(shrunk, np.uint8)


def encode(foreground: Image, alpha: Image, backdrop: Backdrop, form: Format) -> bytes:
    """Encode a foreground in front of a backdrop.

    Pixels without foreground lose their colour, so the removed background cannot be restored from
    the file.

    Args:
        foreground: (H, W, 3) uint8, RGB.
        alpha: (H, W) uint8, 255 is all foreground.
        backdrop: a colour; an image, (h, w, 3) uint8 RGB or (h, w, 4) with straight alpha, which
            is scaled to cover; or None.
        form: of the file.

    Returns:
        The bytes of a file of H x W px, with an alpha channel unless the backdrop is opaque.

    Raises:
        InputError: JPEG without an opaque backdrop, or sides too long for the format.
    """
    height, width = alpha.shape
    check_sides(height, width, form)
    if is_transparent(backdrop) and form == "jpeg":
        raise InputError("JPEG has no transparency; allowed: png, webp, or an opaque backdrop")
    channels = 4 if is_transparent(backdrop) else 3
    strips = compose_strips(foreground, alpha, backdrop)
    if form == "png":
        return encode_png(strips, height=height, width=width, channels=channels)
    pixels = np.empty((height, width, channels), np.uint8)
    order = [2, 1, 0, 3][:channels]  # BGRA, for OpenCV
    top = 0
    for strip in strips:
        pixels[top : top + len(strip)] = strip[:, :, order]
        top += len(strip)
    quality = {"jpeg": cv2.IMWRITE_JPEG_QUALITY, "webp": cv2.IMWRITE_WEBP_QUALITY}[form]
    encoded, data = cv2.imencode(f".{form}", pixels, [quality, QUALITY])
    if not encoded:
        raise RuntimeError(f"OpenCV did not encode {pixels.shape} as {form}")
    return data.tobytes()


def compose_strips(foreground: Image, alpha: Image, backdrop: Backdrop) -> Iterator[Image]:
    """Yield the composed image from top to bottom, 64 rows at a time.

    Yields:
        (rows, W, 4) uint8 RGBA without a backdrop or with a transparent one, else (rows, W, 3).
    """
    height, width = alpha.shape
    scene = backdrop
    if isinstance(backdrop, np.ndarray):
        scene = cover(_premultiplied(backdrop), height=height, width=width)
    for top in range(0, height, STRIP_ROWS):
        rows = slice(top, min(top + STRIP_ROWS, height))
        if scene is None:
            yield _transparent(foreground[rows], alpha[rows])
        else:
            strip = (
                _scaled_rows(scene, rows, height, width) if isinstance(scene, np.ndarray) else scene
            )
            compose = blend_transparent if is_transparent(scene) else blend
            yield compose(foreground[rows], alpha[rows], strip)


def blend(image: Image, alpha: Image, backdrop: Colour | Image) -> Image:
    """Blend on the encoded levels, as browsers do: alpha * image + (1 - alpha) * backdrop.

    Args:
        image: (H, W, 3) uint8.
        alpha: (H, W) uint8.
        backdrop: a colour or an (H, W, 3) image, in the image's channel order.

    Returns:
        (H, W, 3) uint8.
    """
    scene = np.asarray(backdrop, np.float32)
    share = alpha[:, :, np.newaxis].astype(np.float32) / 255.0
    return np.rint(scene + share * (image - scene)).astype(np.uint8)


def blend_transparent(image: Image, alpha: Image, backdrop: Colour | Image) -> Image:
    """Blend in front of a backdrop with transparent parts: Porter and Duff's "over".

    Args:
        image: (H, W, 3) uint8.
        alpha: (H, W) uint8.
        backdrop: (H, W, 4) uint8, its colours premultiplied by its alpha.

    Returns:
        (H, W, 4) uint8 with straight alpha; pixels without any opacity are black.
    """
    scene = np.asarray(backdrop, np.float32)
    share = alpha[:, :, np.newaxis].astype(np.float32) / 255.0
    colours = share * image + (1 - share) * scene[:, :, :3]
    opacity = 255.0 * share + (1 - share) * scene[:, :, 3:]
    straight = np.minimum(255.0 * colours / np.maximum(opacity, 1e-3), 255.0)
    pixels: Image = np.rint(np.concatenate([straight, opacity], axis=2)).astype(np.uint8)
    pixels[pixels[:, :, 3] == 0] = 0
    return pixels


def _premultiplied(backdrop: Image) -> Image:
    """Multiply the colours of (h, w, 4) by their alpha: scaling must not mix hidden colours in."""
    if backdrop.shape[2] == 3:
        return backdrop
    opacity = cv2.merge([backdrop[:, :, 3]] * 3)
    colours = cv2.multiply(np.ascontiguousarray(backdrop[:, :, :3]), opacity, scale=1 / 255)
    return np.dstack([np.asarray(colours, np.uint8), backdrop[:, :, 3]])


def _transparent(image: Image, alpha: Image) -> Image:
    pixels = np.dstack([image, alpha])
    pixels[alpha == 0] = 0
    return pixels


def _scaled_rows(scene: Image, rows: slice, height: int, width: int) -> Image:
    """Return (rows, width, 3) of a scene as if it were enlarged to height x width."""
    high, wide = scene.shape[:2]
    if (high, wide) == (height, width):
        return scene[rows]
    # cv2.resize for the columns, then numpy for the rows: cv2.warpAffine refuses sides over 32767
    near = covering(rows, source=high, target=height, margin=0)
    size = (width, near.stop - near.start)
    stretched = cv2.resize(scene[near], size, interpolation=cv2.INTER_LINEAR)
    at = np.clip((np.arange(rows.start, rows.stop) + 0.5) * high / height - 0.5, 0, high - 1)
    upper = at.astype(np.int64)
    lower = np.minimum(upper + 1, high - 1)
    share = (at - upper).astype(np.float32)[:, np.newaxis, np.newaxis]
    above, below = (stretched[index - near.start].astype(np.float32) for index in (upper, lower))
    lines: Image = np.rint(above + share * (below - above)).astype(np.uint8)
    return lines


def _middle(length: int, target: int) -> slice:
    start = (length - min(target, length)) // 2
    return slice(start, start + min(target, length))

"""Pictures from a foreground and how much of each pixel it fills."""

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
Backdrop = Colour | Image | None  # what stands behind the foreground; None: transparency

MEDIA_TYPES: Mapping[Format, str] = {
    "png": "image/png",
    "webp": "image/webp",
    "jpeg": "image/jpeg",
}
# px, of the encoders, and of the reader that most programs have for PNG
LONGEST_SIDES: Mapping[Format, int] = {"png": 1_000_000, "webp": 16_383, "jpeg": 65_500}
QUALITY = 90  # of JPEG and WebP; the alpha of WebP is kept as it is
STRIP_ROWS = 64  # blended at once: 50 million pixels in float32 would take 600 MB
_HEX_COLOUR = re.compile(r"#?([0-9a-f]{3}|[0-9a-f]{6})", re.ASCII | re.IGNORECASE)


def parse_colour(text: str) -> Colour | None:
    """#rrggbb or #rgb, the # may be left out; None for anything else."""
    match = _HEX_COLOUR.fullmatch(text)
    if match is None:
        return None
    digits = match[1] if len(match[1]) == 6 else "".join(digit * 2 for digit in match[1])
    red, green, blue = bytes.fromhex(digits)
    return red, green, blue


def check_sides(height: int, width: int, form: Format) -> None:
    """Refuse what the encoder would.

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
    """Shrink an (H, W, 3) image so that its longer side is at most `longest_px`."""
    height, width = image.shape[:2]
    if max(height, width) <= longest_px:
        return image
    scale = longest_px / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def cover(picture: Image, *, height: int, width: int) -> Image:
    """Prepare a picture to stand behind a height x width one: the middle of it, filling all.

    Returns:
        The part of it that will be seen, at most height x width px; blending enlarges it.
    """
    high, wide = picture.shape[:2]
    scale = max(height / high, width / wide)
    rows, columns = (
        _middle(length, max(1, round(wanted / scale)))
        for length, wanted in ((high, height), (wide, width))
    )
    seen = picture[rows, columns]
    if scale >= 1:
        return seen
    shrunk = cv2.resize(seen, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(shrunk, np.uint8)


def encode(foreground: Image, alpha: Image, behind: Backdrop, form: Format) -> bytes:
    """Encode a foreground before what stands behind it.

    A pixel of which nothing is foreground has no colour of its own in the result: what was
    removed cannot be brought back.

    Args:
        foreground: (H, W, 3) uint8, RGB.
        alpha: (H, W) uint8, 255 is all foreground.
        behind: a colour, a picture (h, w, 3) uint8 RGB that is scaled to cover, or None.
        form: of the file.

    Returns:
        A file of H x W px, with transparency where nothing stands behind.

    Raises:
        InputError: JPEG, or sides too long for the format.
    """
    height, width = alpha.shape
    check_sides(height, width, form)
    if behind is None and form == "jpeg":
        raise InputError("JPEG has no transparency; allowed: png, webp, or something behind")
    channels = 4 if behind is None else 3
    strips = composed(foreground, alpha, behind)
    if form == "png":
        return encode_png(strips, height=height, width=width, channels=channels)
    pixels = np.empty((height, width, channels), np.uint8)
    order = [2, 1, 0, 3][:channels]  # OpenCV's
    top = 0
    for strip in strips:
        pixels[top : top + len(strip)] = strip[:, :, order]
        top += len(strip)
    quality = {"jpeg": cv2.IMWRITE_JPEG_QUALITY, "webp": cv2.IMWRITE_WEBP_QUALITY}[form]
    encoded, data = cv2.imencode(f".{form}", pixels, [quality, QUALITY])
    if not encoded:
        raise RuntimeError(f"OpenCV did not encode {pixels.shape} as {form}")
    return data.tobytes()


def composed(foreground: Image, alpha: Image, behind: Backdrop) -> Iterator[Image]:
    """The result from top to bottom, a few rows at a time.

    Yields:
        (rows, W, 4) uint8 RGBA where nothing stands behind, else (rows, W, 3) RGB.
    """
    height, width = alpha.shape
    scene = cover(behind, height=height, width=width) if isinstance(behind, np.ndarray) else behind
    for top in range(0, height, STRIP_ROWS):
        rows = slice(top, min(top + STRIP_ROWS, height))
        if scene is None:
            yield _transparent(foreground[rows], alpha[rows])
        else:
            shown = _rows_of(scene, rows, height, width) if isinstance(scene, np.ndarray) else scene
            yield blend(foreground[rows], alpha[rows], shown)


def blend(image: Image, alpha: Image, behind: Colour | Image) -> Image:
    """Mix as browsers do, on the encoded levels: alpha * image + (1 - alpha) * behind.

    Args:
        image: (H, W, 3) uint8.
        alpha: (H, W) uint8.
        behind: a colour or an (H, W, 3) picture, in the image's channel order.

    Returns:
        (H, W, 3) uint8.
    """
    scene = np.asarray(behind, np.float32)
    share = alpha[:, :, np.newaxis].astype(np.float32) / 255.0
    return np.rint(scene + share * (image - scene)).astype(np.uint8)


def _transparent(image: Image, alpha: Image) -> Image:
    pixels = np.dstack([image, alpha])
    pixels[alpha == 0] = 0
    return pixels


def _rows_of(scene: Image, rows: slice, height: int, width: int) -> Image:
    """(rows, width, 3) of a scene enlarged to height x width."""
    high, wide = scene.shape[:2]
    if (high, wide) == (height, width):
        return scene[rows]
    # columns whole, then rows: OpenCV's warp takes no side over 32767 px
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


def _middle(length: int, wanted: int) -> slice:
    start = (length - min(wanted, length)) // 2
    return slice(start, start + min(wanted, length))

"""Pictures from an image and how much of each pixel is foreground."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.errors import InputError
from serve.quoting import quoted

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]  # red, green, blue, 0 to 255
Format = Literal["png", "jpeg"]

MEDIA_TYPES: Mapping[Format, str] = {"png": "image/png", "jpeg": "image/jpeg"}
LONGEST_SIDES: Mapping[Format, int] = {"png": 1_000_000, "jpeg": 65_500}  # px, of the encoders
JPEG_QUALITY = 90
OPTIONS = ("color", "format")
STRIP_ROWS = 256  # blended at once: 50 million pixels in float32 would take 600 MB
HEX_COLOUR = re.compile(r"#?([0-9a-f]{3}|[0-9a-f]{6})", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Background:
    """What stands behind the foreground, and how the picture is encoded."""

    colour: Colour | None = None  # None: transparency
    format: Format = "png"


def parse_background(options: Mapping[str, str]) -> Background:
    """Read the options `color` and `format`.

    Raises:
        InputError: a value is not one of those allowed, or JPEG is to hold transparency.
    """
    colour = _colour(options["color"]) if "color" in options else None
    formats: Mapping[str, Format] = {"png": "png", "jpeg": "jpeg", "jpg": "jpeg"}
    name = options.get("format", "png")
    if name.lower() not in formats:
        raise InputError(f"format is {quoted(name)}; allowed: png, jpeg")
    if formats[name.lower()] == "jpeg" and colour is None:
        raise InputError(
            "format is 'jpeg' without color, but JPEG has no transparency; allowed: "
            "png, or jpeg with color=rrggbb"
        )
    return Background(colour, formats[name.lower()])


def check_sides(height: int, width: int, background: Background) -> None:
    """Refuse what the encoder would.

    Raises:
        InputError: a side is too long for the format.
    """
    longest = LONGEST_SIDES[background.format]
    if max(height, width) > longest:
        raise InputError(
            f"image is {width} x {height} px; allowed: sides of {longest} px, "
            f"as the answer's format is {background.format}"
        )


def limit_side(image: Image, longest_px: int) -> Image:
    """Shrink an (H, W, 3) image so that its longer side is at most `longest_px`."""
    height, width = image.shape[:2]
    if max(height, width) <= longest_px:
        return image
    scale = longest_px / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def scale_alpha(alpha: NDArray[np.float32], *, height: int, width: int) -> Image:
    """(h, w) in [0, 1] to (height, width) uint8, 255 is foreground.

    Made uint8 before it is scaled: the result is within one level, at a quarter of the memory.
    """
    levels: Image = np.rint(alpha * 255.0).astype(np.uint8)
    if levels.shape == (height, width):
        return levels
    scaled = cv2.resize(levels, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(scaled, np.uint8)


def compose(image: Image, alpha: Image, background: Background) -> bytes:
    """Encode the foreground before a background.

    Args:
        image: (H, W, 3) uint8, RGB.
        alpha: (H, W) uint8.
        background: of the picture.

    Returns:
        PNG with transparency where there is no colour, else opaque PNG or JPEG; H x W px.
    """
    if background.colour is None:
        pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGRA)
        pixels[:, :, 3] = alpha
    else:
        pixels = cv2.cvtColor(blend(image, alpha, background.colour), cv2.COLOR_RGB2BGR)
    settings = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if background.format == "jpeg" else []
    encoded, data = cv2.imencode(f".{background.format}", pixels, settings)
    if not encoded:
        raise RuntimeError(f"OpenCV did not encode {pixels.shape} as {background.format}")
    return data.tobytes()


def blend(image: Image, alpha: Image, colour: Colour) -> Image:
    """Mix as browsers do, on the encoded levels: alpha * image + (1 - alpha) * colour.

    Args:
        image: (H, W, 3) uint8.
        alpha: (H, W) uint8.
        colour: in the image's channel order.

    Returns:
        (H, W, 3) uint8.
    """
    result = np.empty_like(image)
    behind = np.asarray(colour, np.float32)
    for top in range(0, image.shape[0], STRIP_ROWS):
        rows = slice(top, top + STRIP_ROWS)
        share = alpha[rows, :, np.newaxis].astype(np.float32) / 255.0
        result[rows] = np.rint(behind + share * (image[rows] - behind))
    return result


def _colour(text: str) -> Colour:
    match = HEX_COLOUR.fullmatch(text)
    if match is None:
        raise InputError(
            f"color is {quoted(text)}; allowed: #rrggbb or #rgb (# may be left out, or %23)"
        )
    digits = match[1] if len(match[1]) == 6 else "".join(digit * 2 for digit in match[1])
    red, green, blue = bytes.fromhex(digits)
    return red, green, blue

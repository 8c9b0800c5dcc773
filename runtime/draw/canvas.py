"""The canvas of a picture: its size, its colours and the caption below it."""

import cv2
import numpy as np

from runtime.arrays import Image
from runtime.draw.text import LINE, Colour, put_text, wrap

SMALLEST_PX, LARGEST_PX = 512, 1600  # bounds of the longer side of a canvas
NARROWEST_PX = 192  # of either side: a label needs space
INK: Colour = (24, 26, 30)
PAPER: Colour = (246, 246, 244)
FAINT: Colour = (120, 124, 130)
_CAPTION_LINES = 6

# a dozen colours that differ much from each other, and show on light and on dark images
_PALETTE: tuple[Colour, ...] = (
    (230, 57, 70), (29, 132, 181), (246, 174, 45), (46, 160, 87), (155, 93, 229), (241, 128, 45),
    (0, 166, 166), (214, 76, 158), (120, 144, 40), (99, 110, 250), (150, 98, 62), (110, 120, 132),
)  # fmt: skip


def palette(index: int) -> Colour:
    """Return the colour of class `index`; the colours repeat after a dozen classes."""
    return _PALETTE[index % len(_PALETTE)]


def text_colour(background: Colour) -> Colour:
    """Return dark ink or white, whichever is readable on a colour."""
    red, green, blue = background
    return INK if 0.299 * red + 0.587 * green + 0.114 * blue > 150 else (255, 255, 255)


def text_size(canvas: Image) -> int:
    """Return the text size in px that suits a picture of this size."""
    return int(np.clip(max(canvas.shape[:2]) / 42, 14, 30))


def fitted_scale(height: int, width: int) -> float:
    """Return the factor that scales a source to the size of a canvas."""
    longest = max(height, width)
    return float(np.clip(longest, SMALLEST_PX, LARGEST_PX)) / longest


def resize(image: Image, height: int, width: int) -> Image:
    """Scale an (H, W, 3) or (H, W) uint8 image; shrinking averages pixels."""
    shrinks = height * width < image.shape[0] * image.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return cv2.resize(image, (width, height), interpolation=interpolation).astype(np.uint8)


def pad(canvas: Image, *, height: int = NARROWEST_PX, width: int = NARROWEST_PX) -> Image:
    """Add margins below and on the right until the sides have at least these lengths, in px."""
    below, right = max(0, height - canvas.shape[0]), max(0, width - canvas.shape[1])
    bordered = cv2.copyMakeBorder(
        canvas, 0, below, 0, right, cv2.BORDER_CONSTANT, value=(*PAPER, 0)
    )
    return bordered.astype(np.uint8, copy=False)


def add_caption(canvas: Image, caption: str) -> Image:
    """Add a band of text below a picture, of up to six lines.

    Args:
        canvas: (H, W, 3) uint8, RGB.
        caption: "" for none.

    Returns:
        (H', W', 3) uint8, at least NARROWEST_PX wide.
    """
    canvas = pad(canvas, height=0)
    size = text_size(canvas)
    margin = size // 2
    lines = list(wrap(caption, size, canvas.shape[1] - 2 * margin))[:_CAPTION_LINES]
    if not lines:
        return canvas
    step = round(LINE * size)
    band = np.full((step * len(lines) + 2 * margin, canvas.shape[1], 3), PAPER, np.uint8)
    for number, line in enumerate(lines):
        put_text(band, line, left=margin, top=margin + number * step, size=size, colour=INK)
    return np.vstack([canvas, band])


def encode_picture(picture: Image) -> bytes:
    """Encode (H, W, 3) uint8 RGB as a PNG file."""
    return cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()

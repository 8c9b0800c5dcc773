"""The picture that is drawn on: of a size that lines and text suit, and a caption below it."""

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.draw.text import LINE, Colour, Picture, lines_of, put_text

SMALLEST_PX, LARGEST_PX = 512, 1600  # longest side of what is drawn on
NARROWEST_PX = 192  # either side: a label has to find room
INK: Colour = (24, 26, 30)
PAPER: Colour = (246, 246, 244)
FAINT: Colour = (120, 124, 130)
_CAPTION_LINES = 6

# as different as a dozen colours can be, for light and dark surroundings
_PALETTE: tuple[Colour, ...] = (
    (230, 57, 70), (29, 132, 181), (246, 174, 45), (46, 160, 87), (155, 93, 229), (241, 128, 45),
    (0, 166, 166), (214, 76, 158), (120, 144, 40), (99, 110, 250), (150, 98, 62), (110, 120, 132),
)  # fmt: skip


def palette(index: int) -> Colour:
    """The colour of class `index`."""
    return _PALETTE[index % len(_PALETTE)]


def on(background: Colour) -> Colour:
    """Black or white, whichever can be read on a colour."""
    red, green, blue = background
    return INK if 0.299 * red + 0.587 * green + 0.114 * blue > 150 else (255, 255, 255)


def text_size(canvas: Picture) -> int:
    """Px of text that suits a picture of this size."""
    return int(np.clip(max(canvas.shape[:2]) / 42, 14, 30))


def fitted_scale(height: int, width: int) -> float:
    """By what a source is made larger or smaller to be drawn on."""
    longest = max(height, width)
    return float(np.clip(longest, SMALLEST_PX, LARGEST_PX)) / longest


def resized(image: NDArray[np.uint8], height: int, width: int) -> Picture:
    """(H, W, 3) or (H, W) uint8 to another size: pixels averaged where it shrinks."""
    shrinks = height * width < image.shape[0] * image.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return cv2.resize(image, (width, height), interpolation=interpolation).astype(np.uint8)


def widened(canvas: Picture, *, height: int = NARROWEST_PX, width: int = NARROWEST_PX) -> Picture:
    """With margins where a side is shorter than that; the source stays at the top left."""
    below, right = max(0, height - canvas.shape[0]), max(0, width - canvas.shape[1])
    bordered = cv2.copyMakeBorder(
        canvas, 0, below, 0, right, cv2.BORDER_CONSTANT, value=(*PAPER, 0)
    )
    return bordered.astype(np.uint8, copy=False)


def captioned(canvas: Picture, caption: str) -> Picture:
    """With a band of text below, in as many lines as it needs.

    Args:
        canvas: (H, W, 3) uint8, RGB.
        caption: "" for none.

    Returns:
        (H', W', 3) uint8, at least NARROWEST_PX wide.
    """
    canvas = widened(canvas, height=0)
    size = text_size(canvas)
    margin = size // 2
    lines = list(lines_of(caption, size, canvas.shape[1] - 2 * margin))[:_CAPTION_LINES]
    if not lines:
        return canvas
    step = round(LINE * size)
    band = np.full((step * len(lines) + 2 * margin, canvas.shape[1], 3), PAPER, np.uint8)
    for number, line in enumerate(lines):
        put_text(band, line, left=margin, top=margin + number * step, size=size, colour=INK)
    return np.vstack([canvas, band])


def encode_picture(picture: Picture) -> bytes:
    """(H, W, 3) uint8 RGB as a PNG file."""
    return cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()

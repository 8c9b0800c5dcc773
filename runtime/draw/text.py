"""Text in pictures, of any script that OpenCV's own font has; never wider than it may be."""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]  # (H, W, 3), RGB
Colour = tuple[int, int, int]

LINE = 1.35  # height of a line, in sizes of its text
SMALLEST_PX = 12  # of text that can still be read
_ASCENT = 1.02  # from the top of the highest letter, an accent on it, to the base line, in sizes
_WEIGHT = 500  # a little bolder than regular: it stands on photos
_ENDLESS = (1 << 15, 1 << 10)  # px; text is measured as if it had room


def printable(text: str) -> str:
    """On one line, whatever a file name or label holds."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def text_width(text: str, size: int) -> int:
    """Px that a line of text takes at a size in px."""
    face = cv2.FontFace("sans")
    left, _, width, _ = cv2.getTextSize(_ENDLESS, text, (0, 0), face, size, _WEIGHT)
    return int(left + width)


def put_text(canvas: Picture, text: str, *, left: int, top: int, size: int, colour: Colour) -> None:
    """Write one line into a picture; `left` and `top` are those of its highest letters, in px."""
    base = top + round(_ASCENT * size)
    cv2.putText(canvas, text, (left, base), colour, cv2.FontFace("sans"), size, _WEIGHT)


def fitted(text: str, size: int, width: int) -> tuple[str, int]:
    """Text and size that keep within a width: smaller first, then cut."""
    text = printable(text)
    while size > SMALLEST_PX and text_width(text, size) > width:
        size -= 1
    return _cut(text, size, width), size


def lines_of(text: str, size: int, width: int) -> Iterator[str]:
    """Text broken at its spaces into lines that keep within a width; a longer word is cut."""
    line = ""
    for word in printable(text).split():
        longer = f"{line} {word}".strip()
        if line and text_width(longer, size) > width:
            yield line
            longer = word
        line = _cut(longer, size, width)
    if line:
        yield line


def _cut(text: str, size: int, width: int) -> str:
    if text_width(text, size) <= width:
        return text
    kept = len(text)
    while kept and text_width(f"{text[:kept]}…", size) > width:
        kept -= max(1, kept // 8)
    return f"{text[:kept].rstrip()}…" if kept else ""

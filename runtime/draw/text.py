"""Write text into pictures, in every script of OpenCV's built-in font, within a given width."""

from collections.abc import Iterator

import cv2

from runtime.arrays import Image

Colour = tuple[int, int, int]  # red, green, blue, 0 to 255

LINE = 1.35  # height of a line, in text sizes
SMALLEST_PX = 12  # smallest text size that is readable
_ASCENT = 1.02  # from the base line to the top of an accented capital, in text sizes
_WEIGHT = 500  # a little bolder than regular, to be readable on photos
_LARGE_CANVAS = (1 << 15, 1 << 10)  # px; OpenCV measures text on a canvas of this size


def printable(text: str) -> str:
    """Return text on one line, without the control characters that a file name may hold."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def text_width(text: str, size: int) -> int:
    """Return the width in px of a line of text at a size in px."""
    face = cv2.FontFace("sans")
    left, _, width, _ = cv2.getTextSize(_LARGE_CANVAS, text, (0, 0), face, size, _WEIGHT)
    return int(left + width)


def put_text(canvas: Image, text: str, *, left: int, top: int, size: int, colour: Colour) -> None:
    """Write one line into a picture; `left` and `top` are the corner of the line, in px."""
    base = top + round(_ASCENT * size)
    cv2.putText(canvas, text, (left, base), colour, cv2.FontFace("sans"), size, _WEIGHT)


def fit(text: str, size: int, width: int) -> tuple[str, int]:
    """Fit text into a width in px: reduce its size first, then truncate it."""
    text = printable(text)
    while size > SMALLEST_PX and text_width(text, size) > width:
        size -= 1
    return _truncate(text, size, width), size


def wrap(text: str, size: int, width: int) -> Iterator[str]:
    """Break text at spaces into lines of at most a width in px; truncate longer words."""
    line = ""
    for word in printable(text).split():
        longer = f"{line} {word}".strip()
        if line and text_width(longer, size) > width:
            yield line
            longer = word
        line = _truncate(longer, size, width)
    if line:
        yield line


def _truncate(text: str, size: int, width: int) -> str:
    if text_width(text, size) <= width:
        return text
    length = len(text)
    while length and text_width(f"{text[:length]}…", size) > width:
        length -= max(1, length // 8)
    return f"{text[:length].rstrip()}…" if length else ""

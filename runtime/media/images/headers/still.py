"""What the readers of all formats return, and the checks they share."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from runtime.errors import DecodeError, TooLargeError
from runtime.media.images.headers.signature import Kind

T = TypeVar("T")

# A hostile file can consist of millions of empty parts. Walking this many takes about 50 ms; a
# valid GIF frame of 25 MB has as many.
_MAX_PARTS = 100_000


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the first picture lies on a larger canvas, in px."""

    top: int
    left: int
    height: int
    width: int
    fill: tuple[int, int, int]  # RGB of the canvas around it


@dataclass(frozen=True, slots=True)
class Still:
    """The first picture of an encoded image, ready for the decoder."""

    kind: Kind
    height: int  # px of the canvas, before orientation
    width: int
    file: bytes  # holds the first picture and nothing else that changes pixels
    orientation: int = 1  # as in EXIF, 1 to 8; not yet applied
    placement: Placement | None = None  # None: the picture is the whole canvas


def check_size(kind: Kind, width: int, height: int, max_pixels: int) -> None:
    """Refuse a size before anything of that size is allocated.

    Raises:
        DecodeError: a side is zero or negative.
        TooLargeError: more than max_pixels.
    """
    if width < 1 or height < 1:
        raise DecodeError(f"{kind} says {width} x {height} px; allowed: sides of at least 1 px")
    if width * height > max_pixels:
        raise TooLargeError(f"{kind} of {width} x {height} px; allowed: at most {max_pixels} px")


def bounded(kind: Kind, parts: Iterable[T]) -> Iterator[T]:
    """The same parts (segments, chunks, blocks), refused when there are absurdly many.

    Raises:
        DecodeError: more than 100 000.
    """
    for count, part in enumerate(parts):
        if count == _MAX_PARTS:
            raise DecodeError(f"{kind} has more than the {_MAX_PARTS} parts allowed")
        yield part

"""The result of all header readers, and the checks that they share."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from runtime.errors import DecodeError, TooLargeError
from runtime.media.images.colour.cicp import CodePoints
from runtime.media.images.headers.signature import ImageFormat

T = TypeVar("T")

# A hostile file can consist of millions of empty parts. Reading this many takes about 50 ms; a
# valid GIF frame of 25 MB has as many.
_MAX_PARTS = 100_000


@dataclass(frozen=True, slots=True)
class CanvasPosition:
    """The position of the first picture on a larger canvas, in px."""

    top: int
    left: int
    height: int
    width: int
    fill: tuple[int, int, int]  # RGB of the canvas around it


@dataclass(frozen=True, slots=True)
class Coded:
    """A bitstream without a file around it, and the part of its picture that is shown, in px."""

    stream: bytes
    configuration: bytes  # of the decoder
    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class AlphaSource:
    """The opacity of a picture, in a file of its own that is made on demand."""

    make_file: Callable[[], bytes]  # of the same size as the picture
    is_grey: bool = False  # True: the grey levels of that file are the opacity
    maximum: int = 65_535  # the level of full opacity where levels have more than 8 bits
    coded: Coded | None = None  # a bitstream in place of the file


@dataclass(frozen=True, slots=True)
class ColourTags:
    """The colour profile and code points of a file, as read; `colour` interprets them."""

    icc: bytes = b""  # the profile, b"" without one
    code_points: CodePoints | None = None  # they take precedence over the profile
    fault: str = ""  # the reason why a profile could not be taken out of the file


@dataclass(frozen=True, slots=True)
class Still:
    """The first picture of an encoded image, ready for the decoder."""

    format: ImageFormat
    height: int  # px of the canvas, before orientation
    width: int
    file: bytes  # the first picture and nothing else that changes pixels
    orientation: int = 1  # as in EXIF, 1 to 8; not yet applied
    position: CanvasPosition | None = None  # None: the picture is the whole canvas
    colours: ColourTags = ColourTags()
    alpha: AlphaSource | None = None  # None: every pixel is opaque
    coded: Coded | None = None  # a bitstream in place of the file


def check_size(image_format: ImageFormat, width: int, height: int, max_pixels: int) -> None:
    """Check a claimed size before anything of that size is allocated.

    Raises:
        DecodeError: a side is zero or negative.
        TooLargeError: more than max_pixels.
    """
    size = f"{width} x {height} px"
    if width < 1 or height < 1:
        raise DecodeError(f"{image_format} says {size}; allowed: sides of at least 1 px")
    if width * height > max_pixels:
        raise TooLargeError(f"{image_format} of {size}; allowed: at most {max_pixels} px")


def limit_parts(image_format: ImageFormat, parts: Iterable[T]) -> Iterator[T]:
    """Yield the parts of a file (segments, chunks, blocks), up to a number that is not absurd.

    Raises:
        DecodeError: more than 100 000.
    """
    for count, part in enumerate(parts):
        if count == _MAX_PARTS:
            raise DecodeError(f"{image_format} has more than the {_MAX_PARTS} parts allowed")
        yield part

"""The kind of an encoded image, by its first bytes."""

from typing import Literal, get_args

from runtime.errors import DecodeError
from runtime.signatures import name_of

Kind = Literal["JPEG", "PNG", "WebP", "BMP", "GIF"]

_ALLOWED: tuple[tuple[Kind, int, bytes], ...] = (
    ("JPEG", 0, b"\xff\xd8\xff"),
    ("PNG", 0, b"\x89PNG\r\n\x1a\n"),
    ("WebP", 8, b"WEBP"),
    ("GIF", 0, b"GIF87a"),
    ("GIF", 0, b"GIF89a"),
    ("BMP", 0, b"BM"),
)


def image_kind(data: bytes) -> Kind:
    """The kind of an image that is decoded here.

    Raises:
        DecodeError: empty, or of any other kind; named where its first bytes tell.
    """
    if not data:
        raise DecodeError(f"the image is empty; {_allowed_text()}")
    for kind, at, magic in _ALLOWED:
        if data.startswith(magic, at):
            return kind
    raise DecodeError(f"found {_found_text(data)}; {_allowed_text()}")


def _found_text(data: bytes) -> str:
    return name_of(data) or f"{len(data)} bytes that begin {data[:8].hex(' ')}"


def _allowed_text() -> str:
    return f"allowed: {', '.join(get_args(Kind))}"

"""The kind of an encoded image, by its first bytes."""

from typing import Literal, get_args

from runtime.errors import DecodeError
from runtime.media.signatures import type_name

Kind = Literal["JPEG", "PNG", "WebP", "BMP", "GIF"]
KINDS: tuple[Kind, ...] = get_args(Kind)


def image_kind(data: bytes) -> Kind:
    """The kind of an image that is decoded here.

    Raises:
        DecodeError: empty, or of any other kind; named where its first bytes tell.
    """
    allowed = f"allowed: {', '.join(KINDS)}"
    if not data:
        raise DecodeError(f"the image is empty; {allowed}")
    name = type_name(data)
    for kind in KINDS:
        if name == kind:
            return kind
    found = name or f"{len(data)} bytes that begin {data[:8].hex(' ')}"
    raise DecodeError(f"found {found}; {allowed}")

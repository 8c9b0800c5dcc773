"""The format of an encoded image, by its first bytes."""

from collections.abc import Iterator
from typing import Literal, get_args

from runtime.errors import DecodeError
from runtime.media.boxes import find_boxes, read_boxes
from runtime.media.signatures import is_mp4_image, type_name

Always = Literal["JPEG", "PNG", "WebP", "BMP", "GIF", "AVIF"]
ImageFormat = Literal[Always, "HEIC"]  # HEIC with the optional package av
IMAGE_FORMATS: tuple[Always, ...] = get_args(Always)
# brands of a still picture that is coded as HEVC
HEVC_BRANDS = (b"heic", b"heix", b"heim", b"heis")


def image_format(data: bytes) -> ImageFormat:
    """Return the format of an image.

    Raises:
        DecodeError: empty, or not one of IMAGE_FORMATS; the message names other known types.
    """
    allowed = f"allowed: {', '.join(IMAGE_FORMATS)}"
    if not data:
        raise DecodeError(f"the image is empty; {allowed}")
    name = "AVIF" if is_avif(data) else type_name(data)
    for supported in IMAGE_FORMATS:
        if name == supported:
            return supported
    if name and _has_brand(data, HEVC_BRANDS) and not is_tile_grid(data):
        return "HEIC"
    if name and is_tile_grid(data):
        name = f"{name}, a grid of tiles as phones write it"
    content = name or f"{len(data)} bytes that begin {data[:8].hex(' ')}"
    raise DecodeError(f"found {content}; {allowed}")


def is_avif(data: bytes) -> bool:
    """Return whether a file is AVIF by one of its brands; the first may be a general one."""
    return _has_brand(data, (b"avif", b"avis"))


def _has_brand(data: bytes, names: tuple[bytes, ...]) -> bool:
    if data[4:8] != b"ftyp":
        return False
    name, content = next(read_boxes(memoryview(data)), (b"", memoryview(b"")))
    brands = bytes(content[:4]) + bytes(content[8:256])
    return name == b"ftyp" and any(brands[at : at + 4] in names for at in range(0, len(brands), 4))


def is_tile_grid(data: bytes) -> bool:
    """Return whether an image in the container of MP4, such as HEIC, is a grid of tiles."""
    if not is_mp4_image(data):
        return False
    return any(b"infe" in bytes(box) and b"grid" in bytes(box) for box in _item_infos(data))


def _item_infos(data: bytes) -> Iterator[memoryview]:
    for meta in find_boxes(memoryview(data), b"meta"):
        yield from find_boxes(meta[4:], b"iinf")

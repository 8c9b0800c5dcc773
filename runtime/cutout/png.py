"""Encode PNG strip by strip, so that an image of 50 megapixels is never whole in memory."""

import struct
import zlib
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES = {3: 2, 4: 6}  # by channels: RGB, RGBA
_SUB = 1  # PNG filter: the difference of each byte from that of the pixel before it
_LEVEL = 1  # with Z_RLE as fast and as large as OpenCV's files; level 6 takes 4 times as long


def encode_png(
    strips: Iterable[NDArray[np.uint8]], *, height: int, width: int, channels: int
) -> bytes:
    """Encode an image that comes as strips of whole rows.

    Args:
        strips: (rows, width, channels) uint8 from top to bottom; together `height` rows.
        height: px.
        width: px.
        channels: 3 for RGB, 4 for RGBA with straight (not premultiplied) alpha.

    Raises:
        ValueError: the strips have another number of rows.
    """
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[channels], 0, 0, 0)
    chunks = [_SIGNATURE, *_chunk(b"IHDR", header)]
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, 15, 9, zlib.Z_RLE)
    rows = 0
    for strip in strips:
        rows += len(strip)
        if packed := packer.compress(_filter(strip).data):
            chunks += _chunk(b"IDAT", packed)
    if rows != height:
        raise ValueError(f"strips of {rows} rows; allowed: {height}")
    return b"".join([*chunks, *_chunk(b"IDAT", packer.flush()), *_chunk(b"IEND", b"")])


def _chunk(name: bytes, content: bytes) -> Iterator[bytes]:
    yield struct.pack(">I4s", len(content), name)
    yield content
    yield struct.pack(">I", zlib.crc32(content, zlib.crc32(name)))


def _filter(strip: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Apply the filter: (rows, 1 + width * channels), the filter's number, then differences."""
    channels = strip.shape[2]
    flat = strip.reshape(len(strip), -1)
    rows = np.empty((flat.shape[0], flat.shape[1] + 1), np.uint8)
    rows[:, 0] = _SUB
    rows[:, 1 : 1 + channels] = flat[:, :channels]
    np.subtract(flat[:, channels:], flat[:, :-channels], out=rows[:, 1 + channels :])
    return rows

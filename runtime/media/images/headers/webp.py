"""WebP: RIFF chunks, the extended header, and the first frame of an animation."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from runtime.errors import DecodeError
from runtime.media.images.headers.exif import read_orientation
from runtime.media.images.headers.still import Placement, Still, bounded, check_size

_RIFF_BYTES = 12
_ANIMATION_FLAG = 0x02
_FRAME_HEADER_BYTES = 16
_BITSTREAMS = (b"VP8 ", b"VP8L")


@dataclass(frozen=True, slots=True)
class _Chunk:
    name: bytes
    start: int  # of its content
    end: int


def read_webp(data: bytes, max_pixels: int) -> Still:
    """Read a WebP; of an animated one the first frame, on a black canvas.

    A separate alpha plane (ALPH) is left out: colours are returned as stored.
    """
    (riff_bytes,) = struct.unpack_from("<I", data, 4)
    if riff_bytes + 8 > len(data):
        raise DecodeError(f"WebP is truncated: {len(data)} of {riff_bytes + 8} bytes")
    first, *rest = bounded("WebP", _chunks(data, _RIFF_BYTES, riff_bytes + 8))
    if first.name not in (b"VP8X", *_BITSTREAMS):
        raise DecodeError(
            f"WebP begins with a {first.name.decode('latin-1')!r} chunk; allowed: VP8, VP8L, VP8X"
        )
    extended = first.name == b"VP8X"
    height, width = (_canvas_size if extended else _bitstream_size)(data, first)
    check_size("WebP", width, height, max_pixels)
    if not extended:
        return Still("WebP", height, width, file=_plain_file(data, first))
    exif = _find(rest, b"EXIF")
    orientation = read_orientation(data[exif.start : exif.end]) if exif else 1
    animated = data[first.start] & _ANIMATION_FLAG
    placement, bitstream = (_first_frame if animated else _only_frame)(data, rest)
    _check_frame(data, bitstream, placement, height, width)
    return Still("WebP", height, width, _plain_file(data, bitstream), orientation, placement)


def _chunks(data: bytes, start: int, end: int) -> Iterator[_Chunk]:
    at = start
    while at + 8 <= end:
        name, size = struct.unpack_from("<4sI", data, at)
        at += 8
        if at + size > end:
            raise DecodeError(f"WebP is truncated within its {name.decode('latin-1')!r} chunk")
        yield _Chunk(name, at, at + size)
        at += size + size % 2
    if at == start:
        raise DecodeError("WebP holds no chunk")


def _find(chunks: list[_Chunk], *names: bytes) -> _Chunk | None:
    return next((chunk for chunk in chunks if chunk.name in names), None)


def _canvas_size(data: bytes, header: _Chunk) -> tuple[int, int]:
    width, height = _uint24(data, header.start + 4) + 1, _uint24(data, header.start + 7) + 1
    return height, width


def _only_frame(data: bytes, chunks: list[_Chunk]) -> tuple[Placement | None, _Chunk]:
    bitstream = _find(chunks, *_BITSTREAMS)
    if bitstream is None:
        raise DecodeError("WebP has no image chunk; allowed: VP8, VP8L")
    return None, bitstream


def _first_frame(data: bytes, chunks: list[_Chunk]) -> tuple[Placement | None, _Chunk]:
    frame = _find(chunks, b"ANMF")
    if frame is None:
        raise DecodeError("WebP says it is animated and has no frame")
    left, top, width, height = (_uint24(data, frame.start + at) for at in (0, 3, 6, 9))
    placement = Placement(top * 2, left * 2, height + 1, width + 1, fill=(0, 0, 0))
    inside = bounded("WebP", _chunks(data, frame.start + _FRAME_HEADER_BYTES, frame.end))
    return placement, _only_frame(data, list(inside))[1]


def _check_frame(
    data: bytes, bitstream: _Chunk, placement: Placement | None, height: int, width: int
) -> None:
    expected = (placement.height, placement.width) if placement else (height, width)
    found = _bitstream_size(data, bitstream)
    if found != expected:
        raise DecodeError(f"WebP says (height, width) {expected} and its image data {found}")
    if placement is not None and (
        placement.top + placement.height > height or placement.left + placement.width > width
    ):
        raise DecodeError(f"WebP has a frame outside of its canvas of {width} x {height} px")


def _bitstream_size(data: bytes, bitstream: _Chunk) -> tuple[int, int]:
    if bitstream.name == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, bitstream.start + 1)
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", data, bitstream.start + 6)
    return height & 0x3FFF, width & 0x3FFF  # the upper bits are hints for display


def _plain_file(data: bytes, bitstream: _Chunk) -> bytes:
    size = bitstream.end - bitstream.start
    padded = size + size % 2
    header = struct.pack("<4sI4s4sI", b"RIFF", padded + 12, b"WEBP", bitstream.name, size)
    content = memoryview(data)[bitstream.start : bitstream.end]
    return b"".join((header, content, b"\0" * (size % 2)))


def _uint24(data: bytes, at: int) -> int:
    low, high = struct.unpack_from("<HB", data, at)
    return int(low | high << 16)

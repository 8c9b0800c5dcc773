"""WebP: its RIFF chunks, the extended header, and the first frame of an animation."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from runtime.errors import DecodeError
from runtime.media.images.headers.exif import read_orientation
from runtime.media.images.headers.still import (
    AlphaSource,
    CanvasPosition,
    ColourTags,
    Still,
    check_size,
    limit_parts,
)

_RIFF_BYTES = 12
_ANIMATION_FLAG = 0x02
_ALPHA_FLAG = 0x10
_FRAME_HEADER_BYTES = 16
_BITSTREAMS = (b"VP8 ", b"VP8L")


@dataclass(frozen=True, slots=True)
class _Chunk:
    name: bytes
    start: int  # of its content
    end: int


def read_webp(data: bytes, max_pixels: int) -> Still:
    """Read the header of a WebP, or of the first frame of an animation, on a black canvas.

    The file handed to the decoder has no separate alpha plane (ALPH), so the colours are returned
    as stored.
    """
    (riff_bytes,) = struct.unpack_from("<I", data, 4)
    if riff_bytes + 8 > len(data):
        raise DecodeError(f"WebP is truncated: {len(data)} of {riff_bytes + 8} bytes")
    first, *rest = limit_parts("WebP", _chunks(data, _RIFF_BYTES, riff_bytes + 8))
    if first.name not in (b"VP8X", *_BITSTREAMS):
        raise DecodeError(
            f"WebP begins with a {first.name.decode('latin-1')!r} chunk; allowed: VP8, VP8L, VP8X"
        )
    extended = first.name == b"VP8X"
    height, width = (_canvas_size if extended else _bitstream_size)(data, first)
    check_size("WebP", width, height, max_pixels)
    if not extended:
        return Still(
            "WebP", height, width, _plain_file(data, first), alpha=_alpha(data, first, None)
        )
    exif = _find_chunk(rest, b"EXIF")
    orientation = read_orientation(data[exif.start : exif.end]) if exif else 1
    animated = data[first.start] & _ANIMATION_FLAG
    position, chunks = _first_frame(data, rest) if animated else (None, rest)
    bitstream = _image_chunk(chunks)
    _check_frame(data, bitstream, position, height, width)
    profile = _find_chunk(rest, b"ICCP")
    return Still(
        "WebP",
        height,
        width,
        _plain_file(data, bitstream),
        orientation,
        position,
        ColourTags(data[profile.start : profile.end]) if profile else ColourTags(),
        _alpha(data, bitstream, _find_chunk(chunks, b"ALPH")),
    )


def _chunks(data: bytes, start: int, end: int) -> Iterator[_Chunk]:
    offset = start
    while offset + 8 <= end:
        name, size = struct.unpack_from("<4sI", data, offset)
        offset += 8
        if offset + size > end:
            raise DecodeError(f"WebP is truncated within its {name.decode('latin-1')!r} chunk")
        yield _Chunk(name, offset, offset + size)
        offset += size + size % 2
    if offset == start:
        raise DecodeError("WebP holds no chunk")


def _find_chunk(chunks: list[_Chunk], *names: bytes) -> _Chunk | None:
    return next((chunk for chunk in chunks if chunk.name in names), None)


def _canvas_size(data: bytes, header: _Chunk) -> tuple[int, int]:
    """Return (height, width) of the canvas in an extended header."""
    width, height = _uint24(data, header.start + 4) + 1, _uint24(data, header.start + 7) + 1
    return height, width


def _image_chunk(chunks: list[_Chunk]) -> _Chunk:
    bitstream = _find_chunk(chunks, *_BITSTREAMS)
    if bitstream is None:
        raise DecodeError("WebP has no image chunk; allowed: VP8, VP8L")
    return bitstream


def _first_frame(data: bytes, chunks: list[_Chunk]) -> tuple[CanvasPosition, list[_Chunk]]:
    """Return the position of the first frame of an animation, and the chunks in it."""
    frame = _find_chunk(chunks, b"ANMF")
    if frame is None:
        raise DecodeError("WebP says it is animated and has no frame")
    left, top, width, height = (_uint24(data, frame.start + offset) for offset in (0, 3, 6, 9))
    position = CanvasPosition(top * 2, left * 2, height + 1, width + 1, fill=(0, 0, 0))
    frame_chunks = limit_parts("WebP", _chunks(data, frame.start + _FRAME_HEADER_BYTES, frame.end))
    return position, list(frame_chunks)


def _check_frame(
    data: bytes, bitstream: _Chunk, position: CanvasPosition | None, height: int, width: int
) -> None:
    """Check that the sizes in all headers agree and the frame lies on the canvas."""
    claimed = (position.height, position.width) if position else (height, width)
    actual = _bitstream_size(data, bitstream)
    if actual != claimed:
        raise DecodeError(f"WebP says (height, width) {claimed} and its image data {actual}")
    if position is not None and (
        position.top + position.height > height or position.left + position.width > width
    ):
        raise DecodeError(f"WebP has a frame outside of its canvas of {width} x {height} px")


def _bitstream_size(data: bytes, bitstream: _Chunk) -> tuple[int, int]:
    """Return (height, width) of the image data."""
    if bitstream.name == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, bitstream.start + 1)
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", data, bitstream.start + 6)
    return height & 0x3FFF, width & 0x3FFF  # the upper bits are hints for display


def _plain_file(data: bytes, bitstream: _Chunk) -> bytes:
    """Return a WebP file of the image data alone."""
    size = bitstream.end - bitstream.start
    padded = size + size % 2
    header = struct.pack("<4sI4s4sI", b"RIFF", padded + 12, b"WEBP", bitstream.name, size)
    content = memoryview(data)[bitstream.start : bitstream.end]
    return b"".join((header, content, b"\0" * (size % 2)))


def _alpha(data: bytes, bitstream: _Chunk, plane: _Chunk | None) -> AlphaSource | None:
    """Return the opacity: of the image data if they are lossless, or else of a chunk ALPH."""
    if bitstream.name == b"VP8L":
        has_alpha = data[bitstream.start + 4] & 0x10
        return AlphaSource(lambda: _plain_file(data, bitstream)) if has_alpha else None
    return AlphaSource(lambda: _file_with_alpha(data, bitstream, plane)) if plane else None


def _file_with_alpha(data: bytes, bitstream: _Chunk, plane: _Chunk) -> bytes:
    """Return a WebP file of lossy image data and its plane of opacity."""
    height, width = _bitstream_size(data, bitstream)
    sizes = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    header = struct.pack("<4sIB3x", b"VP8X", 10, _ALPHA_FLAG) + sizes
    chunks = [header]
    for chunk in (plane, bitstream):
        size = chunk.end - chunk.start
        content = data[chunk.start : chunk.end]
        chunks += [struct.pack("<4sI", chunk.name, size), content, b"\0" * (size % 2)]
    body = b"".join(chunks)
    return struct.pack("<4sI4s", b"RIFF", len(body) + 4, b"WEBP") + body


def _uint24(data: bytes, offset: int) -> int:
    low, high = struct.unpack_from("<HB", data, offset)
    return int(low | high << 16)

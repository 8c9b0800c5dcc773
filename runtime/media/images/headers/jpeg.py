"""JPEG: segments up to the first scan."""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from runtime.errors import DecodeError
from runtime.media.images.headers.exif import read_orientation
from runtime.media.images.headers.still import Still, bounded, check_size

# 0xFF and a code that begins a segment: not a fill byte, stuffed zero, restart or TEM. What lies
# between segments is skipped, as libjpeg does.
_MARKER = re.compile(rb"\xff([\x02-\xcf\xd8-\xfe])")
_SCAN, _APP1 = 0xDA, 0xE1
_NOT_SEGMENTS = (0xD8, 0xD9)  # start and end of image
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset((0xC2, 0xCA))
_LOSSLESS = 0xC3
# Frame types that libjpeg-turbo decodes; the others are hierarchical, or lossless and arithmetic.
_DECODED = (0xC0, 0xC1, 0xC2, _LOSSLESS, 0xC9, 0xCA)
# Each scan of a progressive file is a pass over all coefficients, and 3 bytes can ask for one:
# encoders write about ten, a file made to burn time thousands.
_MAX_SCANS = 100


@dataclass(frozen=True, slots=True)
class _Frame:
    height: int
    width: int
    components: int
    progressive: bool


def read_jpeg(data: bytes, max_pixels: int) -> Still:
    """Read a JPEG, coded by Huffman or arithmetically.

    A file without its end marker is refused, like one that ends earlier: the decoder cannot tell a
    missing marker from missing rows, and would fill those with grey. Bytes after the marker are
    fine: phones append previews and depth maps.
    """
    frame, exif, scan = None, b"", 0
    for marker, start, end in bounded("JPEG", _segments(data)):
        if marker in _FRAMES:
            frame = _read_frame(data, marker, start, max_pixels)
        elif marker == _APP1 and not exif and data.startswith(b"Exif\0\0", start):
            exif = data[start:end]
        elif marker == _SCAN:
            scan = start
            break
    if frame is None:
        raise DecodeError("JPEG has no frame header before its first scan")
    _check_scans(data, scan, frame)
    orientation = read_orientation(exif)
    return Still("JPEG", frame.height, frame.width, file=data, orientation=orientation)


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker code, start and end of the content."""
    at = 2
    while found := _MARKER.search(data, at):
        marker = data[found.start() + 1]
        if marker in _NOT_SEGMENTS:
            break
        (length,) = struct.unpack_from(">H", data, found.end())
        at = found.end() + max(length, 2)
        yield marker, found.end() + 2, at
    raise DecodeError(f"JPEG of {len(data)} bytes ends before its first scan")


def _read_frame(data: bytes, marker: int, start: int, max_pixels: int) -> _Frame:
    bits, height, width, components = struct.unpack_from(">BHHB", data, start)
    if marker not in _DECODED:
        allowed = ", ".join(f"SOF{code - 0xC0}" for code in _DECODED)
        raise DecodeError(f"JPEG has a frame of type SOF{marker - 0xC0}; allowed: {allowed}")
    if bits != 8:
        raise DecodeError(f"JPEG has {bits} bits per sample; allowed: 8")
    if marker == _LOSSLESS and components != 3:  # nothing converts its grey or inks to RGB
        raise DecodeError(f"JPEG is lossless with {components} channels; allowed: 3")
    check_size("JPEG", width, height, max_pixels)
    return _Frame(height, width, components, progressive=marker in _PROGRESSIVE)


def _check_scans(data: bytes, scan: int, frame: _Frame) -> None:
    if data.rfind(b"\xff\xd9", scan) < 0:
        raise DecodeError(f"JPEG of {len(data)} bytes is truncated: it has no end marker")
    if not frame.progressive and data[scan] == frame.components:
        return  # all in one scan: libjpeg decodes no second, and counting takes 0.7 ms per MB
    scans = 1 + data.count(b"\xff\xda", scan)
    if scans > _MAX_SCANS:
        raise DecodeError(f"JPEG has {scans} scans; allowed: at most {_MAX_SCANS}")

"""JPEG: its segments up to the first scan."""

import contextlib
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from runtime.errors import DecodeError
from runtime.media.images.headers.exif import read_orientation
from runtime.media.images.headers.still import ColourTags, Still, check_size, limit_parts

# 0xFF and a code that begins a segment: not a fill byte, stuffed zero, restart or TEM. Bytes
# between segments are skipped, as libjpeg skips them.
_MARKER = re.compile(rb"\xff([\x02-\xcf\xd8-\xfe])")
_SCAN, _APP1, _APP2 = 0xDA, 0xE1, 0xE2
_ICC = b"ICC_PROFILE\0"
_END = 0xD9
_WITHOUT_CONTENT = (0xD8, _END)  # start and end of image
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset((0xC2, 0xCA))
_LOSSLESS = 0xC3
# frame types that libjpeg-turbo decodes; the others are hierarchical, or lossless and arithmetic
_DECODED = (0xC0, 0xC1, 0xC2, _LOSSLESS, 0xC9, 0xCA)
# Each scan of a progressive file is a pass over all coefficients, and 3 bytes can ask for one.
# Encoders write about ten; a file made to burn time has thousands.
_MAX_SCANS = 100


@dataclass(frozen=True, slots=True)
class _FrameHeader:
    height: int
    width: int
    components: int
    progressive: bool


def read_jpeg(data: bytes, max_pixels: int) -> Still:
    """Read the header of a JPEG with Huffman or arithmetic coding.

    A file without its end marker is refused, like one that ends earlier: the decoder cannot
    distinguish a missing marker from missing rows, and would fill those with grey. Bytes after the
    marker are accepted, as phones append previews and depth maps.
    """
    frame, exif, scan = None, b"", 0
    profile: dict[int, bytes] = {}  # by number, from 1
    profile_parts = 0
    for marker, start, end in limit_parts("JPEG", _segments(data)):
        if marker in _FRAMES:
            frame = _read_frame(data, marker, start, max_pixels)
        elif marker == _APP1 and not exif and data.startswith(b"Exif\0\0", start):
            exif = data[start:end]
        elif marker == _APP2 and data.startswith(_ICC, start):
            number, profile_parts = data[start + len(_ICC)], data[start + len(_ICC) + 1]
            profile.setdefault(number, data[start + len(_ICC) + 2 : end])
        elif marker == _SCAN:
            scan = start
            break
    if frame is None:
        raise DecodeError("JPEG has no frame header before its first scan")
    _check_scans(data, scan, frame)
    orientation = read_orientation(exif)
    colours = _join_profile(profile, profile_parts)
    return Still("JPEG", frame.height, frame.width, data, orientation, colours=colours)


def _join_profile(parts: Mapping[int, bytes], count: int) -> ColourTags:
    """Join an ICC profile from the segments that hold up to 65,519 bytes of it each."""
    missing = count - len(parts.keys() & set(range(1, count + 1)))
    if missing:
        return ColourTags(fault=f"is damaged: {missing} of its {count} parts are missing")
    return ColourTags(b"".join(parts[number] for number in range(1, count + 1)))


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield the marker code of each segment, and the start and end of its content.

    Raises:
        DecodeError: the file ends before its first scan.
    """
    for marker, start, end in _all_segments(data, 2):
        if marker == _END:
            break
        yield marker, start, end
    raise DecodeError(f"JPEG of {len(data)} bytes ends before its first scan")


def _all_segments(data: bytes, offset: int) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and end of each segment, up to the end of the image or of the file."""
    while match := _MARKER.search(data, offset):
        marker = data[match.start() + 1]
        if marker in _WITHOUT_CONTENT:
            yield _END, match.end(), match.end()
            return
        (length,) = struct.unpack_from(">H", data, match.end())
        offset = match.end() + max(length, 2)
        yield marker, match.end() + 2, offset


def _read_frame(data: bytes, marker: int, start: int, max_pixels: int) -> _FrameHeader:
    """Read a frame header and check that libjpeg-turbo decodes its type to RGB."""
    bits, height, width, components = struct.unpack_from(">BHHB", data, start)
    if marker not in _DECODED:
        allowed = ", ".join(f"SOF{code - 0xC0}" for code in _DECODED)
        raise DecodeError(f"JPEG has a frame of type SOF{marker - 0xC0}; allowed: {allowed}")
    if bits != 8:
        raise DecodeError(f"JPEG has {bits} bits per sample; allowed: 8")
    if marker == _LOSSLESS and components != 3:  # libjpeg does not convert its grey or inks to RGB
        raise DecodeError(f"JPEG is lossless with {components} channels; allowed: 3")
    check_size("JPEG", width, height, max_pixels)
    return _FrameHeader(height, width, components, progressive=marker in _PROGRESSIVE)


def _check_scans(data: bytes, scan: int, frame: _FrameHeader) -> None:
    """Check that the file has an end marker and not too many scans."""
    if data.rfind(b"\xff\xd9", scan) < 0:
        raise DecodeError(f"JPEG of {len(data)} bytes is truncated: it has no end marker")
    if not frame.progressive and data[scan] == frame.components:
        return  # all in one scan: libjpeg decodes no second, and counting takes 0.7 ms per MB
    scans = 1
    with contextlib.suppress(struct.error):  # a damaged file may end within what looks like one
        # up to the end marker: phones append previews and films, whose bytes may look like scans
        for marker, _, _ in _all_segments(data, scan):
            scans += marker == _SCAN
            if scans > _MAX_SCANS:
                raise DecodeError(f"JPEG has more than {_MAX_SCANS} scans")

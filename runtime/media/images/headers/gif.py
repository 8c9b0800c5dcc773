"""GIF: the first frame, without transparency, as a file of its own."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from runtime.errors import DecodeError
from runtime.media.images.headers.still import Placement, Still, bounded, check_size

_SCREEN_BYTES = 13  # signature and logical screen descriptor
_EXTENSION, _IMAGE, _END, _SUB_BLOCK = 0x21, 0x2C, 0x3B, 0x00
_GRAPHIC_CONTROL = 0xF9
_HAS_PALETTE, _INTERLACED = 0x80, 0x40
_PALETTE_BYTES = 3 * 256
_GREY_PALETTE = bytes(level for level in range(256) for _ in range(3))


@dataclass(frozen=True, slots=True)
class _Frame:
    at: int  # of the image separator
    transparent: int  # palette index, 0 where the frame has none


def read_gif(data: bytes, max_pixels: int) -> Still:
    """Read the first frame of a GIF.

    Transparent pixels keep the colour of their palette entry; around a frame smaller than the
    screen the canvas has the transparent entry's colour, or the first entry's, as PIL has it. A
    frame reaching beyond the screen enlarges it, as browsers and PIL do. A file without any palette
    is grey.
    """
    screen_width, screen_height, flags = struct.unpack_from("<HHB", data, 6)
    frame = _first_frame(data, _SCREEN_BYTES + _palette_bytes(flags))
    left, top, columns, rows, frame_flags = struct.unpack_from("<4HB", data, frame.at + 1)
    width, height = max(screen_width, left + columns), max(screen_height, top + rows)
    check_size("GIF", columns, rows, max_pixels)
    check_size("GIF", width, height, max_pixels)
    palette = _palette(data, flags, frame.at + 10, frame_flags)
    red, green, blue = palette[3 * frame.transparent :][:3]
    pixels = memoryview(data)[_pixel_data(data, frame.at + 10 + _palette_bytes(frame_flags))]
    header = _header(columns, rows, palette, frame_flags & _INTERLACED)
    placement = Placement(top, left, rows, columns, fill=(red, green, blue))
    file = b"".join((header, pixels, bytes([_END])))
    return Still("GIF", height, width, file, placement=placement)


def _first_frame(data: bytes, at: int) -> _Frame:
    """The first image descriptor, and the transparent colour of the control block before it."""
    transparent = 0
    for kind, block in bounded("GIF", _parts(data, at)):
        if kind == _IMAGE:
            return _Frame(block, transparent)
        controls = kind == _EXTENSION and data[block + 1] == _GRAPHIC_CONTROL
        if controls and data[block + 3] & 1:
            transparent = data[block + 6]
    raise DecodeError(f"GIF of {len(data)} bytes holds no image")


def _parts(data: bytes, at: int) -> Iterator[tuple[int, int]]:
    """Kind and offset of each extension, of the blocks in it, then of the image or the end."""
    while (kind := data[at]) == _EXTENSION:
        yield kind, at
        for at in _sub_blocks(data, at + 2):  # noqa: B020 - goes on where the last block ends
            yield _SUB_BLOCK, at
    if kind not in (_IMAGE, _END):
        raise DecodeError(f"GIF has a block of type {kind:#04x}; allowed: 0x21, 0x2c, 0x3b")
    yield kind, at


def _pixel_data(data: bytes, start: int) -> slice:
    """From the code size to the end of the last block."""
    try:
        *_, end = bounded("GIF", _sub_blocks(data, start + 1))
    except IndexError:
        raise DecodeError(f"GIF of {len(data)} bytes is truncated within its first frame") from None
    return slice(start, end)


def _sub_blocks(data: bytes, at: int) -> Iterator[int]:
    """The end of each block, the empty one that closes them included."""
    while size := data[at]:
        at += size + 1
        yield at
    yield at + 1


def _palette_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & _HAS_PALETTE else 0


def _palette(data: bytes, flags: int, local_at: int, local_flags: int) -> bytes:
    """(256, 3) bytes: always full, so that no index can lie outside."""
    if local_flags & _HAS_PALETTE:
        entries = data[local_at : local_at + _palette_bytes(local_flags)]
    elif flags & _HAS_PALETTE:
        entries = data[_SCREEN_BYTES : _SCREEN_BYTES + _palette_bytes(flags)]
    else:
        entries = _GREY_PALETTE
    return entries.ljust(_PALETTE_BYTES, b"\0")


def _header(width: int, height: int, palette: bytes, interlaced: int) -> bytes:
    screen = struct.pack("<6sHHBBB", b"GIF89a", width, height, _HAS_PALETTE | 7, 0, 0)
    return screen + palette + struct.pack("<B4HB", _IMAGE, 0, 0, width, height, interlaced)

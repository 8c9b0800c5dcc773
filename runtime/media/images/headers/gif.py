"""GIF: its first frame, without transparency, as a file of its own."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from runtime.errors import DecodeError
from runtime.media.images.headers.still import (
    AlphaSource,
    CanvasPosition,
    Still,
    check_size,
    limit_parts,
)

_SCREEN_BYTES = 13  # signature and logical screen descriptor
_EXTENSION, _IMAGE, _END, _SUB_BLOCK = 0x21, 0x2C, 0x3B, 0x00
_GRAPHIC_CONTROL = 0xF9
_HAS_PALETTE, _INTERLACED = 0x80, 0x40
_PALETTE_BYTES = 3 * 256
_GREY_PALETTE = bytes(level for level in range(256) for _ in range(3))


@dataclass(frozen=True, slots=True)
class _ImageBlock:
    offset: int  # of the image separator
    transparent: int | None  # palette index; None: the frame has no transparent colour


def read_gif(data: bytes, max_pixels: int) -> Still:
    """Read the header of a GIF's first frame.

    Transparent pixels keep the colour of their palette entry. Around a frame smaller than the
    screen, the canvas has the colour of the transparent entry, or else of the first entry, as in
    Pillow. A frame that reaches beyond the screen enlarges it, as in browsers and Pillow. A file
    without a palette is grey.
    """
    screen_width, screen_height, flags = struct.unpack_from("<HHB", data, 6)
    frame = _first_image(data, _SCREEN_BYTES + _palette_bytes(flags))
    left, top, columns, rows, frame_flags = struct.unpack_from("<4HB", data, frame.offset + 1)
    width, height = max(screen_width, left + columns), max(screen_height, top + rows)
    check_size("GIF", columns, rows, max_pixels)
    check_size("GIF", width, height, max_pixels)
    palette_offset = frame.offset + 10
    palette = _palette(data, flags, palette_offset, frame_flags)
    red, green, blue = palette[3 * (frame.transparent or 0) :][:3]
    pixels = memoryview(data)[_pixel_data(data, palette_offset + _palette_bytes(frame_flags))]

    def make_file(palette: bytes) -> bytes:
        header = _header(columns, rows, palette, frame_flags & _INTERLACED)
        return b"".join((header, pixels, bytes([_END])))

    alpha = None
    if frame.transparent is not None:
        opacity = bytes(0 if index == frame.transparent else 255 for index in range(256))
        opacity_palette = bytes(level for level in opacity for _ in range(3))
        alpha = AlphaSource(lambda: make_file(opacity_palette), is_grey=True)
    position = CanvasPosition(top, left, rows, columns, fill=(red, green, blue))
    return Still("GIF", height, width, make_file(palette), position=position, alpha=alpha)


def _first_image(data: bytes, offset: int) -> _ImageBlock:
    """Find the first image, and the transparent colour that the control block before it names."""
    transparent = None
    for block_type, block in limit_parts("GIF", _blocks(data, offset)):
        if block_type == _IMAGE:
            return _ImageBlock(block, transparent)
        is_control = block_type == _EXTENSION and data[block + 1] == _GRAPHIC_CONTROL
        if is_control and data[block + 3] & 1:
            transparent = data[block + 6]
    raise DecodeError(f"GIF of {len(data)} bytes holds no image")


def _blocks(data: bytes, offset: int) -> Iterator[tuple[int, int]]:
    """Yield type and offset of each extension and its sub-blocks, then of the image or the end."""
    while (block_type := data[offset]) == _EXTENSION:
        yield block_type, offset
        for offset in _sub_blocks(data, offset + 2):  # noqa: B020 - goes on after the last one
            yield _SUB_BLOCK, offset
    if block_type not in (_IMAGE, _END):
        raise DecodeError(f"GIF has a block of type {block_type:#04x}; allowed: 0x21, 0x2c, 0x3b")
    yield block_type, offset


def _pixel_data(data: bytes, start: int) -> slice:
    """Return the slice from the LZW code size to the end of the last sub-block."""
    try:
        *_, end = limit_parts("GIF", _sub_blocks(data, start + 1))
    except IndexError:
        raise DecodeError(f"GIF of {len(data)} bytes is truncated within its first frame") from None
    return slice(start, end)


def _sub_blocks(data: bytes, offset: int) -> Iterator[int]:
    """Yield the end of each sub-block, the empty one that closes the sequence included."""
    while size := data[offset]:
        offset += size + 1
        yield offset
    yield offset + 1


def _palette_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & _HAS_PALETTE else 0


def _palette(data: bytes, flags: int, local_offset: int, local_flags: int) -> bytes:
    """Return the frame's palette, or else the file's, filled to 256 entries of 3 bytes.

    OpenCV refuses a frame with an index beyond its palette.
    """
    if local_flags & _HAS_PALETTE:
        entries = data[local_offset : local_offset + _palette_bytes(local_flags)]
    elif flags & _HAS_PALETTE:
        entries = data[_SCREEN_BYTES : _SCREEN_BYTES + _palette_bytes(flags)]
    else:
        entries = _GREY_PALETTE
    return entries.ljust(_PALETTE_BYTES, b"\0")


def _header(width: int, height: int, palette: bytes, interlaced: int) -> bytes:
    """Return the beginning of a GIF of one frame, up to its pixel data."""
    screen = struct.pack("<6sHHBBB", b"GIF89a", width, height, _HAS_PALETTE | 7, 0, 0)
    return screen + palette + struct.pack("<B4HB", _IMAGE, 0, 0, width, height, interlaced)

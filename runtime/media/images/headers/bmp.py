"""BMP: the headers of OS/2 and Windows, and pixels packed by bit masks."""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.errors import DecodeError
from runtime.media.images.headers.still import AlphaSource, Still, check_size

_FILE_HEADER_BYTES = 14
_CORE_HEADER_BYTES = 12  # OS/2 1.x: 16-bit sides, no compression field
_UNCOMPRESSED, _BITFIELDS, _ALPHA_BITFIELDS = 0, 3, 6
_V3_HEADER_BYTES = 56  # the first with a mask of opacity
_MASKS_OFFSET = 54
_MASKS_555 = (0x7C00, 0x03E0, 0x001F)


@dataclass(frozen=True, slots=True)
class _Header:
    pixels_offset: int
    width: int
    height: int  # negative: the rows run from top to bottom
    bits: int  # of a pixel
    compression: int
    header_bytes: int


def read_bmp(data: bytes, max_pixels: int) -> Still:
    """Read the header of a BMP.

    Pixels packed by masks are rewritten as 24 bits: OpenCV 5.0 assumes 8-bit masks in a fixed order
    and leaves the low bits of 16-bit colours at zero, so that white becomes 248.
    """
    header = _read_header(data)
    width, height = header.width, abs(header.height)
    check_size("BMP", width, height, max_pixels)
    masks = _masks(data, header)
    file = data if masks is None else _rewrite_as_24_bit(data, header, masks)
    mask = _alpha_mask(data, header)
    alpha = None
    if mask:
        alpha = AlphaSource(lambda: _rewrite_as_24_bit(data, header, (mask,) * 3), is_grey=True)
    return Still("BMP", height, width, file, alpha=alpha)


def _read_header(data: bytes) -> _Header:
    pixels_offset, header_bytes = struct.unpack_from("<II", data, 10)
    if header_bytes == _CORE_HEADER_BYTES:
        width, height, _, bits = struct.unpack_from("<4H", data, _FILE_HEADER_BYTES + 4)
        return _Header(pixels_offset, width, height, bits, _UNCOMPRESSED, header_bytes)
    width, height, _, bits = struct.unpack_from("<iiHH", data, _FILE_HEADER_BYTES + 4)
    # the shortest header of OS/2 2.x ends before the compression field
    has_compression = header_bytes >= 20
    compression = struct.unpack_from("<I", data, 30)[0] if has_compression else _UNCOMPRESSED
    return _Header(pixels_offset, width, height, bits, compression, header_bytes)


def _masks(data: bytes, header: _Header) -> tuple[int, ...] | None:
    """Return the bit masks of red, green and blue; None if OpenCV decodes the pixels correctly."""
    if header.compression in (_BITFIELDS, _ALPHA_BITFIELDS) and header.bits in (16, 32):
        masks = struct.unpack_from("<III", data, _MASKS_OFFSET)
        if 0 in masks:
            raise DecodeError(f"BMP has the colour masks {masks}; allowed: none of them zero")
        return masks
    if header.compression == _UNCOMPRESSED and header.bits == 16:
        return _MASKS_555
    return None


def _alpha_mask(data: bytes, header: _Header) -> int:
    """Return the bit mask of the opacity, 0 if the file has none."""
    has_masks = header.compression in (_BITFIELDS, _ALPHA_BITFIELDS) and header.bits in (16, 32)
    has_fourth = header.compression == _ALPHA_BITFIELDS or header.header_bytes >= _V3_HEADER_BYTES
    if not has_masks or not has_fourth:
        return 0
    return int(struct.unpack_from("<I", data, _MASKS_OFFSET + 12)[0])


def _rewrite_as_24_bit(data: bytes, header: _Header, masks: tuple[int, ...]) -> bytes:
    """Return a BMP of 24 bits with the pixels that the masks select."""
    height, width = abs(header.height), header.width
    words_per_row = -(-header.bits * width // 32) * 32 // header.bits
    expected = height * words_per_row * header.bits // 8
    if header.pixels_offset + expected > len(data):
        present = max(len(data) - header.pixels_offset, 0)
        raise DecodeError(f"BMP is truncated: {present} of {expected} bytes of pixels")
    dtype = np.dtype(f"<u{header.bits // 8}")
    words = np.frombuffer(data, dtype, height * words_per_row, header.pixels_offset)
    words = words.reshape(height, words_per_row)[:, :width]
    row_bytes = -(-3 * width // 4) * 4
    rows = np.zeros((height, row_bytes), np.uint8)
    for channel, mask in enumerate(reversed(masks)):  # stored as blue, green, red
        rows[:, channel : 3 * width : 3] = _levels(words, mask)
    size = _MASKS_OFFSET + rows.size
    info = struct.pack("<IiiHHIIiiII", 40, width, header.height, 1, 24, 0, rows.size, 0, 0, 0, 0)
    return struct.pack("<2sIHHI", b"BM", size, 0, 0, _MASKS_OFFSET) + info + rows.tobytes()


def _levels(words: NDArray[np.unsignedinteger], mask: int) -> NDArray[np.uint8]:
    """Return the bits under a mask, stretched to 0..255 and rounded down as Pillow does."""
    shift = (mask & -mask).bit_length() - 1
    highest = mask >> shift
    levels = (words.astype(np.uint64) & mask) >> shift
    return (levels * 255 // highest).astype(np.uint8)

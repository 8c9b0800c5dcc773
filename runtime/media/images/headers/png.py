"""PNG: its chunks up to IEND."""

import struct
from collections.abc import Iterator

from runtime.errors import DecodeError
from runtime.media.images.headers.exif import read_orientation
from runtime.media.images.headers.still import Still, check_size, limit_parts

_SIGNATURE_BYTES = 8
_CHUNK_OVERHEAD_BYTES = 12  # length, name, checksum
# The decoder gets these chunks only. Without acTL, fcTL and fdAT an animation is its default image,
# which viewers without animation show. Without tRNS no colour becomes transparent. Text, gamma and
# profiles reach no decompressor.
_DECODED_CHUNKS = frozenset((b"IHDR", b"PLTE", b"IDAT", b"IEND"))


def read_png(data: bytes, max_pixels: int) -> Still:
    """Read the header of a PNG, or of the default image of an animated one."""
    size, exif = None, b""
    file = [memoryview(data)[:_SIGNATURE_BYTES]]
    for name, start, end in limit_parts("PNG", _chunks(data)):
        if size is None:
            size = _header_size(data, name, max_pixels)
        if name in _DECODED_CHUNKS:
            file.append(memoryview(data)[start:end])
        elif name == b"eXIf":
            exif = data[start + 8 : end - 4]
    assert size is not None  # _chunks raises if there is no chunk
    return Still("PNG", *size, file=b"".join(file), orientation=read_orientation(exif))


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and end of each chunk, its length and checksum included."""
    offset, name = _SIGNATURE_BYTES, b""
    while name != b"IEND":
        if offset + _CHUNK_OVERHEAD_BYTES > len(data):
            raise DecodeError(f"PNG of {len(data)} bytes is truncated: it has no IEND chunk")
        length, name = struct.unpack_from(">I4s", data, offset)
        end = offset + _CHUNK_OVERHEAD_BYTES + length
        if end > len(data):
            missing, chunk = end - len(data), name.decode("latin-1")
            raise DecodeError(
                f"PNG is truncated: {missing} bytes of its {chunk!r} chunk are missing"
            )
        yield name, offset, end
        offset = end


def _header_size(data: bytes, name: bytes, max_pixels: int) -> tuple[int, int]:
    """Return (height, width) from the first chunk, which must be IHDR."""
    if name != b"IHDR":
        raise DecodeError(f"PNG begins with a {name.decode('latin-1')!r} chunk; allowed: IHDR")
    width, height = struct.unpack_from(">II", data, _SIGNATURE_BYTES + 8)
    check_size("PNG", width, height, max_pixels)
    return height, width

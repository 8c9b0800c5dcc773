"""PNG: chunks up to IEND."""

import struct
from collections.abc import Iterator

from runtime.errors import DecodeError
from runtime.media.images.headers.exif import read_orientation
from runtime.media.images.headers.still import Still, bounded, check_size

_SIGNATURE_BYTES = 8
_CHUNK_FRAME_BYTES = 12  # length, name, checksum
# Without acTL, fcTL and fdAT an animation is its default picture, the one that viewers without
# animation show; without tRNS no colour is made transparent, so the stored one remains; and text,
# gamma and profiles reach no decompressor.
_KEPT = frozenset((b"IHDR", b"PLTE", b"IDAT", b"IEND"))


def read_png(data: bytes, max_pixels: int) -> Still:
    """Read a PNG; of an animated one the default picture."""
    size, exif = None, b""
    kept = [memoryview(data)[:_SIGNATURE_BYTES]]
    for name, start, end in bounded("PNG", _chunks(data)):
        if size is None:
            size = _header_size(data, name, max_pixels)
        if name in _KEPT:
            kept.append(memoryview(data)[start:end])
        elif name == b"eXIf":
            exif = data[start + 8 : end - 4]
    assert size is not None  # _chunks raises when there is none
    return Still("PNG", *size, file=b"".join(kept), orientation=read_orientation(exif))


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of each chunk, its length and checksum included."""
    at, name = _SIGNATURE_BYTES, b""
    while name != b"IEND":
        if at + _CHUNK_FRAME_BYTES > len(data):
            raise DecodeError(f"PNG of {len(data)} bytes is truncated: it has no IEND chunk")
        length, name = struct.unpack_from(">I4s", data, at)
        end = at + _CHUNK_FRAME_BYTES + length
        if end > len(data):
            missing, chunk = end - len(data), name.decode("latin-1")
            raise DecodeError(
                f"PNG is truncated: {missing} bytes of its {chunk!r} chunk are missing"
            )
        yield name, at, end
        at = end


def _header_size(data: bytes, name: bytes, max_pixels: int) -> tuple[int, int]:
    if name != b"IHDR":
        raise DecodeError(f"PNG begins with a {name.decode('latin-1')!r} chunk; allowed: IHDR")
    width, height = struct.unpack_from(">II", data, _SIGNATURE_BYTES + 8)
    check_size("PNG", width, height, max_pixels)
    return height, width

"""PNG: its chunks up to IEND."""

import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from runtime.errors import DecodeError
from runtime.media.images.colour.cicp import CodePoints
from runtime.media.images.headers.exif import read_orientation
from runtime.media.images.headers.still import (
    AlphaSource,
    ColourTags,
    Still,
    check_size,
    limit_parts,
)

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SIGNATURE_BYTES = len(_SIGNATURE)
_CHUNK_OVERHEAD_BYTES = 12  # length, name, checksum
# The decoder gets these chunks only. Without acTL, fcTL and fdAT an animation is its default image,
# which viewers without animation show. Without tRNS no colour becomes transparent. Text, gamma and
# profiles reach no decompressor.
_DECODED_CHUNKS = frozenset((b"IHDR", b"PLTE", b"IDAT", b"IEND"))
_READ_CHUNKS = frozenset((b"eXIf", b"iCCP", b"cICP"))
_GREY, _PALETTE = 0, 3  # colour types
_ALPHA_COLOUR_TYPES = (4, 6)  # grey and RGB with an alpha channel
# Inflating is what costs: 10 MB of data can hold 10 GB that no pixel shows, 20 s of a CPU. Less
# than 2 MiB is not worth the check, which takes half as long as the decoding of a photo.
_UNCHECKED_BYTES = 2 * 2**20
_SURPLUS_BYTES = 2**20  # that a careless encoder may leave behind the pixels
_FED_BYTES = 4096  # inflated at once, to at most a thousand times as many
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_MAX_PROFILE_BYTES = 4 * 2**20  # unpacked; the profile of a display has a few kilobytes


def read_png(data: bytes, max_pixels: int) -> Still:
    """Read the header of a PNG, or of the default image of an animated one."""
    size = None
    view = memoryview(data)
    chunks: list[tuple[bytes, memoryview]] = []
    contents: dict[bytes, bytes] = {}
    for name, start, end in limit_parts("PNG", _chunks(data)):
        if size is None:
            size = _header_size(data, name, max_pixels)
        if name in _DECODED_CHUNKS or name == b"tRNS":
            chunks.append((name, view[start:end]))
        elif name in _READ_CHUNKS:
            contents.setdefault(name, data[start + 8 : end - 4])
    assert size is not None  # _chunks raises if there is no chunk
    _check_surplus(chunks, *size)
    return Still(
        "PNG",
        *size,
        file=_join(chunk for chunk in chunks if chunk[0] != b"tRNS"),
        orientation=read_orientation(contents.get(b"eXIf", b"")),
        colours=_colours(contents),
        alpha=_alpha(chunks),
    )


def _join(chunks: Iterable[tuple[bytes, memoryview | bytes]]) -> bytes:
    return b"".join((_SIGNATURE, *(chunk for _, chunk in chunks)))


def _alpha(chunks: Sequence[tuple[bytes, memoryview]]) -> AlphaSource | None:
    """Return the opacity: of an alpha channel, or of a chunk tRNS."""
    bits, colour_type = chunks[0][1][16:18]
    transparency = next((chunk for name, chunk in chunks if name == b"tRNS"), None)
    if colour_type == _GREY and bits <= 8 and transparency is not None and len(transparency) == 14:
        level = transparency[9]
        return AlphaSource(lambda: _grey_opacity(chunks, level), is_grey=True)
    if colour_type in _ALPHA_COLOUR_TYPES or transparency is not None:
        return AlphaSource(lambda: _join(chunks))
    return None


def _grey_opacity(chunks: Sequence[tuple[bytes, memoryview]], level: int) -> bytes:
    """Return a PNG that shows the opacity of a grey one with a transparent level.

    OpenCV 5.0 ignores the transparency of grey. A palette in place of the grey levels shows it:
    black at the transparent level, white at all others.
    """
    header = bytearray(chunks[0][1][8:21])
    header[9] = _PALETTE
    levels = (0 if index == level else 255 for index in range(1 << header[8]))
    palette = bytes(value for value in levels for _ in range(3))
    pixels = (chunk for chunk in chunks if chunk[0] in (b"IDAT", b"IEND"))
    head = (b"IHDR", _chunk(b"IHDR", bytes(header))), (b"PLTE", _chunk(b"PLTE", palette))
    return _join((*head, *pixels))


def _chunk(name: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(name + content)
    return struct.pack(">I4s", len(content), name) + content + struct.pack(">I", checksum)


def _check_surplus(chunks: Sequence[tuple[bytes, memoryview]], height: int, width: int) -> None:
    """Refuse data that inflates to far more than the pixels: a decoder would inflate all of it.

    Raises:
        DecodeError: more than the pixels and _SURPLUS_BYTES.
    """
    parts = [chunk[8:-4] for name, chunk in chunks if name == b"IDAT"]
    if sum(map(len, parts)) <= _UNCHECKED_BYTES:
        return
    bits, colour_type = chunks[0][1][16:18]
    row_bytes = width * _CHANNELS.get(colour_type, 4) * bits // 8 + 2  # with its filter
    left_bytes = height * row_bytes * 2 + _SURPLUS_BYTES  # interlaced rows have more filters
    unpacker = zlib.decompressobj()
    try:
        for part in parts:
            for first in range(0, len(part), _FED_BYTES):
                if unpacker.eof:
                    return  # what follows is skipped
                left_bytes -= len(unpacker.decompress(part[first : first + _FED_BYTES]))
                if left_bytes < 0:
                    raise DecodeError(f"PNG of {width} x {height} px holds data of far more pixels")
    except zlib.error:
        return  # the decoder says so


def _colours(contents: Mapping[bytes, bytes]) -> ColourTags:
    """Return the code points of the chunk cICP, or else the profile of the chunk iCCP."""
    if len(points := contents.get(b"cICP", b"")) == 4:
        return ColourTags(code_points=CodePoints(points[0], points[1], points[3] != 0))
    if b"iCCP" not in contents:
        return ColourTags()
    _, _, packed = contents[b"iCCP"].partition(b"\0")  # after the profile's name
    unpacker = zlib.decompressobj()
    try:
        profile = unpacker.decompress(packed[1:], _MAX_PROFILE_BYTES)
    except zlib.error:
        return ColourTags(fault="is damaged: it cannot be unpacked")
    if unpacker.unconsumed_tail:
        return ColourTags(fault=f"has more than the {_MAX_PROFILE_BYTES} bytes allowed")
    return ColourTags(profile)


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

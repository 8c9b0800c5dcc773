"""WAV: a data chunk whose size is wrong or missing, and files that were joined."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from runtime.media.audio.containers import RIFF_BYTE_ORDERS, container_of, riff_chunks
from runtime.media.audio.parts.part import Part

_UNKNOWN_FROM = 0x7FFFF000  # sizes that recorders and pipes write before they know; also 0
_IN_DS64 = 0xFFFFFFFF  # the size is in the chunk ds64
_LEAST_EXTENSION_S = 0.1  # of samples behind the claimed end; less is no sound
_ID3V1_BYTES = 128
_UNCOMPRESSED_CODES = (1, 3, 6, 7)  # WAVE format codes: integers, floats, A-law, mu-law
_EXTENSIBLE = 0xFFFE  # the format code is in the first two bytes of a GUID, later in the chunk


@dataclass(frozen=True, slots=True)
class _Data:
    """The chunk of the samples."""

    start: int  # of the samples
    size: int  # as the header claims, 0 if it does not know
    size_place: int  # of the field with the size
    size_format: str  # of that field, for struct


def split_wav(data: bytes) -> Iterator[Part]:
    """Yield the files that a file is joined from, each with a data chunk of the size it has."""
    rest = memoryview(data)
    while rest:
        part, rest = _first_file(rest)
        yield part


def is_plain_wav(data: bytes, *, most: int = 16) -> bool:
    """Return whether a file is WAV of uncompressed samples, which need no decoder.

    Args:
        data: a whole file.
        most: files that it may be joined from; False if there are more.
    """
    if data[:4] not in RIFF_BYTE_ORDERS or container_of(data) != "wav":
        return False
    parts = list(islice(split_wav(data), most + 1))
    return len(parts) <= most and all(_is_uncompressed(part.data) for part in parts)


def _is_uncompressed(data: bytes) -> bool:
    order = RIFF_BYTE_ORDERS.get(data[:4], "<")
    for name, start, size in riff_chunks(data, order):
        if name == b"fmt ":
            code = _uint16(data, start, order)
            if code == _EXTENSIBLE and size >= 26:
                code = _uint16(data, start + 24, order)
            return code in _UNCOMPRESSED_CODES
        if name == b"data":
            return False
    return False


def _uint16(data: bytes, offset: int, order: str) -> int:
    """Return an unsigned 16-bit number, 0 beyond the end of the data."""
    if offset + 2 > len(data):
        return 0
    return int(struct.unpack_from(f"{order}H", data, offset)[0])


def _first_file(data: memoryview) -> tuple[Part, memoryview]:
    """Return the first file, and the bytes behind it if they are another one."""
    nothing = data[:0]
    order = RIFF_BYTE_ORDERS.get(bytes(data[:4]), "<")
    located = _find_data(data, order)
    if located is None:
        return Part(_file(data)), nothing
    samples, bytes_per_s = located
    end = samples.start + samples.size + samples.size % 2
    claimed = samples.size / bytes_per_s if samples.size and bytes_per_s else None
    rest = data[end:]
    if bytes(rest[:4]) in RIFF_BYTE_ORDERS and bytes(rest[8:12]) == b"WAVE":
        return Part(_file(data[:end]), claimed), rest
    if not _holds_samples(rest, order) or len(rest) < _LEAST_EXTENSION_S * bytes_per_s:
        return Part(_file(data), claimed), nothing
    size = struct.pack(samples.size_format, len(data) - samples.start)
    place = samples.size_place
    return Part(b"".join((data[:place], size, data[place + len(size) :])), claimed), nothing


def _file(part: memoryview) -> bytes:
    """Return the bytes of a part, without a copy if it is the whole file."""
    whole = part.obj
    assert isinstance(whole, bytes)
    return whole if len(part) == len(whole) else bytes(part)


def _find_data(data: memoryview, order: str) -> tuple[_Data, int] | None:
    """Return the chunk of the samples and the bytes of a second; None without such a chunk."""
    bytes_per_s, long_place = 0, 0
    for name, start, size in riff_chunks(data, order):
        if name == b"ds64" and start + 16 <= len(data):
            long_place = start + 8
        elif name == b"fmt " and start + 12 <= len(data):
            (bytes_per_s,) = struct.unpack_from(f"{order}I", data, start + 8)
        elif name == b"data":
            place, size_format = start - 4, f"{order}I"
            if long_place and size == _IN_DS64:
                place, size_format = long_place, "<Q"
                (size,) = struct.unpack_from(size_format, data, place)
            claimed = size if size < _UNKNOWN_FROM else 0
            return _Data(start, claimed, place, size_format), bytes_per_s
    return None


def _holds_samples(rest: memoryview, order: str) -> bool:
    """Return whether the bytes behind a data chunk are samples: no chunk, no tag, no padding."""
    if len(rest) < 8 or bytes(rest[:3]) == b"ID3" or not bytes(rest).strip(b"\0"):
        return False
    if bytes(rest[:3]) == b"TAG" and len(rest) == _ID3V1_BYTES:
        return False
    name, size = struct.unpack_from(f"{order}4sI", rest)
    is_chunk = name.isascii() and name.decode().isprintable() and size <= len(rest) - 8
    return not is_chunk

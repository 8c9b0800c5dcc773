"""A short MP4 clip made long: its frames again and again, named again in the tables of the file.

Encoding ten minutes at 1080p takes as long as it lasts; to a decoder it makes no difference that
the same bytes come again. Layout: ISO/IEC 14496-12.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

from benchmarks.errors import BenchmarkError

_INSIDE = (b"moov", b"trak", b"mdia", b"minf", b"stbl")  # boxes of boxes, as far as the tables
_LEFT_OUT = (
    b"edts",
    b"sdtp",
    b"sbgp",
    b"sgpd",
)  # what would have to be lengthened, and is not needed
_DURATIONS = {b"mvhd": 16, b"tkhd": 20, b"mdhd": 16}  # where it stands in a box of version 0


def lengthened(clip: bytes, times: int) -> bytes:
    """The clip so many times over.

    Args:
        clip: an MP4 file of one track, its tables behind its frames, as FFmpeg writes it.
        times: at least 1.

    Raises:
        BenchmarkError: it is of another layout.
    """
    boxes = list(_boxes(clip))
    if [kind for kind, _ in boxes][-1:] != [b"moov"] or clip.count(b"stbl") != 1:
        raise BenchmarkError("the clip is no MP4 file of one track with its tables at the end")
    head = clip[: len(clip) - len(boxes[-1][1]) - 8]
    return head + _box(b"moov", _rewritten(boxes[-1][1], times))


def _rewritten(content: bytes, times: int) -> bytes:
    tables = dict(_boxes(content))
    offsets = _sample_offsets(tables) if b"stsz" in tables else ()
    made = []
    for kind, body in _boxes(content):
        if kind in _LEFT_OUT:
            continue
        if kind in _INSIDE:
            body = _rewritten(body, times)
        elif kind in _DURATIONS:
            body = _longer(body, _DURATIONS[kind], times)
        elif kind in _TABLES:
            body = _TABLES[kind](body, offsets, times)
        made.append(_box(kind, body))
    return b"".join(made)


def _sample_offsets(tables: dict[bytes, bytes]) -> tuple[int, ...]:
    """Where each frame lies in the file."""
    sizes = _numbers(tables[b"stsz"], 12)
    per_chunk = _numbers(tables[b"stsc"], 8)
    chunks = _numbers(tables[b"stco"], 8)
    firsts, counts = per_chunk[0::3], per_chunk[1::3]
    found: list[int] = []
    for number, start in enumerate(chunks, 1):
        run = max(i for i, first in enumerate(firsts) if first <= number)
        within = sizes[len(found) : len(found) + counts[run]]
        found += [start + before for before in accumulate(within[:-1], initial=0)]
    return tuple(found)


def _repeated_sizes(body: bytes, offsets: Sequence[int], times: int) -> bytes:
    sizes = _numbers(body, 12)
    if not sizes:
        raise BenchmarkError("all frames of the clip have one size; its table is of another form")
    return body[:8] + _packed([len(sizes) * times, *sizes * times])


def _repeated_entries(body: bytes, offsets: Sequence[int], times: int) -> bytes:
    entries = _numbers(body, 8)
    return body[:4] + _packed([len(entries) // 2 * times, *entries * times])


def _repeated_keys(body: bytes, offsets: Sequence[int], times: int) -> bytes:
    keys, frames = _numbers(body, 8), len(offsets)
    again = [key + frames * number for number in range(times) for key in keys]
    return body[:4] + _packed([len(again), *again])


def _one_frame_a_chunk(body: bytes, offsets: Sequence[int], times: int) -> bytes:
    return body[:4] + _packed([1, 1, 1, 1])


def _repeated_offsets(body: bytes, offsets: Sequence[int], times: int) -> bytes:
    return body[:4] + _packed([len(offsets) * times, *list(offsets) * times])


_TABLES: dict[bytes, Callable[[bytes, Sequence[int], int], bytes]] = {
    b"stsz": _repeated_sizes,
    b"stts": _repeated_entries,
    b"ctts": _repeated_entries,
    b"stss": _repeated_keys,
    b"stsc": _one_frame_a_chunk,
    b"stco": _repeated_offsets,
}


def _longer(body: bytes, at: int, times: int) -> bytes:
    if body[0] != 0:
        raise BenchmarkError("the clip has durations of 64 bits; needed: of 32")
    (duration,) = struct.unpack_from(">I", body, at)
    return body[:at] + struct.pack(">I", duration * times) + body[at + 4 :]


def _numbers(body: bytes, start: int) -> list[int]:
    return list(struct.unpack(f">{(len(body) - start) // 4}I", body[start:]))


def _packed(numbers: Sequence[int]) -> bytes:
    return struct.pack(f">{len(numbers)}I", *numbers)


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of each box, one after the other."""
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if size < 8 or at + size > len(data):
            raise BenchmarkError(f"the clip's box {kind!r} has a size of {size}")
        yield kind, data[at + 8 : at + size]
        at += size


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, kind) + content

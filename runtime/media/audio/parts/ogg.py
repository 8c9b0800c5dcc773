"""Ogg: a chain of streams, one after the other, as web radio sends them."""

from collections.abc import Iterator

from runtime.media.audio.parts.part import Part

_CAPTURE = b"OggS"
_BEGINS_STREAM = 0x02


def split_ogg(data: bytes) -> Iterator[Part]:
    """Yield the links of a chain. Streams that run side by side stay together, in one link."""
    start, in_heads = 0, True  # every stream of a link begins before the first of its other pages
    for offset, flags in _pages(data):
        begins = bool(flags & _BEGINS_STREAM)
        if begins and not in_heads:
            yield Part(data[start:offset])
            start = offset
        in_heads = begins
    yield Part(data[start:] if start else data)


def _pages(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield offset and flags of each page; skip what is none."""
    offset = data.find(_CAPTURE)
    while 0 <= offset <= len(data) - 27:
        flags, segments = data[offset + 5], data[offset + 26]
        yield offset, flags
        lengths = data[offset + 27 : offset + 27 + segments]
        end = offset + 27 + segments + sum(lengths)
        offset = data.find(_CAPTURE, end)

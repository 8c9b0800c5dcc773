"""FLAC: files that were joined, and a number of samples that is unknown or wrong."""

import re
from collections.abc import Iterator
from itertools import pairwise

from runtime.media.audio.parts.part import Part

# the signature, then a STREAMINFO block of 34 bytes, which may be the last of the metadata
_BEGIN = re.compile(rb"fLaC[\0\x80]\0\0\x22")
_RATE_OFFSET, _TOTAL_BITS = 18, 36  # a field of 64 bits: rate (20), channels, bits, total samples


def split_flac(data: bytes) -> Iterator[Part]:
    """Yield the files that a file is joined from.

    The number of samples becomes 0, unknown: libsndfile would stop there, and refuse a file that
    holds less.
    """
    starts = [match.start() for match in _BEGIN.finditer(data)]
    for start, end in pairwise([*starts, len(data)]):
        part = bytearray(data[start:end])
        place = slice(_RATE_OFFSET, _RATE_OFFSET + 8)
        fields = int.from_bytes(part[place], "big")
        total, rate = fields & ((1 << _TOTAL_BITS) - 1), fields >> 44
        part[place] = (fields >> _TOTAL_BITS << _TOTAL_BITS).to_bytes(len(part[place]), "big")
        yield Part(bytes(part), total / rate if total and rate else None)

"""The size of the frames in an AV1 bitstream, from its sequence headers.

Source: AV1 Bitstream & Decoding Process Specification, 5.3, 5.5 and 4.10.
"""

from collections.abc import Iterator

_SEQUENCE_HEADER = 1
_MAX_UNITS = 1000


class _Bits:
    """A reader of bits, the highest of each byte first."""

    def __init__(self, data: memoryview) -> None:
        """Begin at the first bit."""
        self._data = data
        self._place = 0

    def read(self, count: int) -> int:
        """Return the next bits as a number.

        Raises:
            IndexError: there are fewer.
        """
        value = 0
        for _ in range(count):
            byte = self._data[self._place >> 3]
            value = value << 1 | byte >> 7 - (self._place & 7) & 1
            self._place += 1
        return value

    def skip_uvlc(self) -> None:
        """Skip a number of variable length."""
        zeros = 0
        while not self.read(1):
            zeros += 1
        self.read(min(zeros, 32))


def frame_sizes(stream: memoryview) -> Iterator[tuple[int, int]]:
    """Yield the largest (width, height) that each sequence header of a bitstream allows.

    Raises:
        IndexError: a header is cut off, or there are more units than a picture needs.
    """
    offset = 0
    for _ in range(_MAX_UNITS):
        if offset >= len(stream):
            return
        head = stream[offset]
        offset += 2 if head & 0x04 else 1  # with an extension
        size = len(stream) - offset
        if head & 0x02:
            size, offset = _leb128(stream, offset)
        if head >> 3 & 0xF == _SEQUENCE_HEADER:
            yield _max_frame_size(_Bits(stream[offset : offset + size]))
        offset += size
    raise IndexError


def _leb128(stream: memoryview, offset: int) -> tuple[int, int]:
    """Return a number of variable length, and the offset behind it."""
    value = 0
    for index in range(8):
        byte = stream[offset + index]
        value |= (byte & 0x7F) << 7 * index
        if not byte & 0x80:
            return value, offset + index + 1
    raise IndexError


def _max_frame_size(bits: _Bits) -> tuple[int, int]:
    bits.read(4)  # profile, still picture
    if bits.read(1):  # reduced header
        bits.read(5)
    else:
        _skip_operating_points(bits)
    width_bits, height_bits = bits.read(4) + 1, bits.read(4) + 1
    return bits.read(width_bits) + 1, bits.read(height_bits) + 1


def _skip_operating_points(bits: _Bits) -> None:
    delay_bits = 0
    if bits.read(1):  # timing information
        bits.read(64)
        if bits.read(1):
            bits.skip_uvlc()
        if bits.read(1):  # a model of the decoder
            delay_bits = bits.read(5) + 1
            bits.read(32 + 5 + 5)
    has_initial_delay = bits.read(1)
    for _ in range(bits.read(5) + 1):
        bits.read(12)
        if bits.read(5) > 7:
            bits.read(1)
        if delay_bits and bits.read(1):
            bits.read(2 * delay_bits + 1)
        if has_initial_delay and bits.read(1):
            bits.read(4)

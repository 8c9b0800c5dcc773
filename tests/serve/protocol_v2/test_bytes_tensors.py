"""BYTES: elements with their lengths."""

import struct

import pytest

from runtime.errors import InputError, TooLargeError
from serve.protocol_v2.bytes_tensors import (
    MAX_ELEMENTS,
    pack_elements,
    texts_of,
    unpack_elements,
)

ELEMENTS = [b"", b"ab", b"\xff\0", "é".encode()]


def unpack(data: bytes, count: int) -> list[bytes]:
    return unpack_elements(memoryview(data), count, "text")


def test_elements_come_back() -> None:
    packed = pack_elements(ELEMENTS)
    assert packed[:10] == b"\0\0\0\0\2\0\0\0ab"
    assert unpack(packed, 4) == ELEMENTS
    assert unpack(b"", 0) == []


@pytest.mark.parametrize("count", [0, 3, 5])
def test_another_number_of_elements_is_refused(count: int) -> None:
    with pytest.raises(InputError, match=f"allowed: {count} elements"):
        unpack(pack_elements(ELEMENTS), count)


@pytest.mark.parametrize(
    "data", [b"\1", b"\1\0\0", b"\1\0\0\0", b"\xff\xff\xff\xffab", struct.pack("<I", 2) + b"a"]
)
def test_a_length_over_the_end_is_refused(data: bytes) -> None:
    with pytest.raises(InputError, match="its element 0 ends behind them"):
        unpack(data, 1)


def test_elements_are_bounded_before_they_are_read() -> None:
    with pytest.raises(TooLargeError, match=f"allowed: {MAX_ELEMENTS}"):
        unpack(bytes(4 * (MAX_ELEMENTS + 1)), MAX_ELEMENTS + 1)
    with pytest.raises(TooLargeError):
        unpack(b"", 2**63)


def test_texts_are_utf_8() -> None:
    assert texts_of([b"", "é".encode()], "text") == ["", "é"]
    with pytest.raises(InputError, match=r"'text' is not UTF-8: .* at byte 1 of element 1"):
        texts_of([b"a", b"b\xff"], "text")

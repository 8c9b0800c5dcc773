"""Elements of BYTES: each has its length, a little-endian uint32, before it."""

import struct
from collections.abc import Iterable

from runtime.errors import InputError, TooLargeError

MAX_ELEMENTS = 2**15  # of a tensor
_LENGTH = struct.Struct("<I")


def unpack_elements(data: memoryview, count: int, name: str) -> list[bytes]:
    """Return the elements of a binary tensor.

    Args:
        data: all of its bytes.
        count: elements of its shape.
        name: of the input, for messages.

    Raises:
        InputError: the lengths do not fill the bytes, or are not as many as the shape has elements.
        TooLargeError: it has too many elements.
    """
    check_count(count, name)
    elements: list[bytes] = []
    first = 0
    while first < len(data) and len(elements) < count:
        start = first + _LENGTH.size
        end = start + _LENGTH.unpack_from(data, first)[0] if start <= len(data) else start
        if end > len(data):
            raise InputError(
                f"input {name!r} has {len(data)} bytes, and its element {len(elements)} ends "
                f"behind them, at {end}"
            )
        elements.append(bytes(data[start:end]))
        first = end
    if first != len(data) or len(elements) != count:
        rest = len(data) - first
        raise InputError(
            f"input {name!r} has {len(elements)} elements and {rest} bytes after them; "
            f"allowed: {count} elements, as its shape says, each after its length as uint32"
        )
    return elements


def check_count(count: int, name: str) -> None:
    """Refuse more elements than MAX_ELEMENTS (TooLargeError)."""
    if count > MAX_ELEMENTS:
        raise TooLargeError(
            f"input {name!r} has {count} elements of BYTES; allowed: {MAX_ELEMENTS}"
        )


def pack_elements(elements: Iterable[bytes]) -> bytes:
    """Return the bytes of a binary tensor."""
    return b"".join(_LENGTH.pack(len(element)) + element for element in elements)


def texts_of(elements: Iterable[bytes], name: str) -> list[str]:
    """Return the elements as text.

    Raises:
        InputError: one is not UTF-8, as the strings of ONNX are.
    """
    texts = []
    for number, element in enumerate(elements):
        try:
            texts.append(element.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise InputError(
                f"input {name!r} is not UTF-8: {error.reason} at byte {error.start} of element "
                f"{number}"
            ) from None
    return texts

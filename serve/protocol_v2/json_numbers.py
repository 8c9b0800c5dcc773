"""Read and write the elements of a tensor as JSON, numbers a block at a time.

Parsed whole, 10 MB of numbers become 120 MB of Python objects, and no other thread runs meanwhile.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from runtime.artifact.spec import numpy_dtype
from runtime.errors import InputError
from serve.protocol_v2.bytes_tensors import check_count
from serve.protocol_v2.tensors import Array, TensorHeader, of_texts

_BLOCK_BYTES = 2**16  # of JSON to read
_BLOCK_NUMBERS = 2**13  # to write
_MARKS = b"[],"
_NO_MARKS = bytes(set(range(256)) - set(_MARKS))
_BLANKS = b" \t\r\n"
_BRACKETS_TO_BLANKS = bytes.maketrans(b"[]", b"  ")
_OTHERS_TO_X = bytes.maketrans(_NO_MARKS, b"x" * len(_NO_MARKS))


def from_json(header: TensorHeader, data: object) -> Array:
    """Return an array of a JSON list, flat in row-major order or nested like the shape.

    Args:
        header: of the tensor.
        data: the JSON as bytes, or a parsed value.

    Raises:
        InputError: the data is no such list, has another number of elements, or an element that
            the datatype does not hold.
    """
    name = header.spec.name
    if header.is_text:
        return of_texts(header, _texts(header, data))
    if not isinstance(data, bytes | list):
        raise InputError(f"input {name!r} has data that is not a list; allowed: a list of numbers")
    try:
        text = data if isinstance(data, bytes) else orjson.dumps(data)
    except orjson.JSONEncodeError:  # it writes 254 levels of lists
        raise InputError(f"input {name!r} has data that is nested too deeply") from None
    if _is_nested(text):
        _check_nesting(header, text)
    _check_count(header, text)
    return _read(header, text).reshape(header.shape)


def to_json(name: str, array: Array) -> orjson.Fragment:
    """Return the elements as a flat JSON list in row-major order.

    Raises:
        InputError: a value is NaN or infinite, which JSON cannot express.
    """
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError(
            f"output {name!r} holds NaN or infinity, which JSON cannot; "
            "ask for it with binary_data: true"
        )
    if array.dtype.kind == "O":
        return orjson.Fragment(orjson.dumps(array.ravel().tolist()))
    flat = np.ascontiguousarray(array).ravel()
    lists = (
        orjson.dumps(flat[first : first + _BLOCK_NUMBERS], option=orjson.OPT_SERIALIZE_NUMPY)
        for first in range(0, flat.size, _BLOCK_NUMBERS)
    )
    return orjson.Fragment(b"[" + b",".join(text[1:-1] for text in lists) + b"]")


def _texts(header: TensorHeader, data: object) -> list[bytes]:
    """Return the strings of a parsed list, nested or not, as UTF-8."""
    name = header.spec.name
    check_count(header.count, name)
    level: list[Any] = data if isinstance(data, list) else [data]
    for _ in range(len(header.shape) - 1):
        if level and all(isinstance(item, list) for item in level):
            level = [element for item in level for element in item]
    if not isinstance(data, list) or not all(isinstance(item, str) for item in level):
        raise InputError(f"input {name!r} has data of another form; allowed: a list of strings")
    if len(level) != header.count:
        raise InputError(
            f"input {name!r} has {len(level)} elements; "
            f"allowed: {header.count}, as its shape is {list(header.shape)}"
        )
    return [text.encode("utf-8") for text in level]


def _is_nested(text: bytes) -> bool:
    """Return whether the first element of a list is a list."""
    return text[1 : 1 + _BLOCK_BYTES].lstrip(_BLANKS).startswith(b"[")


def _check_nesting(header: TensorHeader, text: bytes) -> None:
    """Refuse a list whose brackets and commas are not those of the tensor's shape."""
    if not (_has_marks_of(header, text) and _numbers_are_between_marks(text)):
        shape = list(header.shape)
        raise InputError(
            f"input {header.spec.name!r} has data nested otherwise than its shape {shape}"
        )


def _has_marks_of(header: TensorHeader, text: bytes) -> bool:
    *outer, last = header.shape
    lists = sum(math.prod(outer[:axis]) for axis in range(len(header.shape)))
    marks = text.translate(None, delete=_NO_MARKS)
    if len(marks) != 2 * lists + header.count - 1:
        return False  # else those of the shape are no longer than the text
    expected = b"[" + b"," * (last - 1) + b"]"
    for size in reversed(outer):
        expected = b"[" + b",".join([expected] * size) + b"]"
    return marks == expected


def _numbers_are_between_marks(text: bytes) -> bool:
    """Return whether no number stands right before a list or right behind one."""
    kinds = text.translate(_OTHERS_TO_X, delete=_BLANKS)
    return b"x[" not in kinds and b"]x" not in kinds


def _check_count(header: TensorHeader, text: bytes) -> None:
    """Refuse another number of elements than the shape has, by the commas."""
    count = text.count(b",") + 1
    if count == 1 and not text.strip(_BLANKS + b"[]"):
        count = 0
    if count != header.count:
        raise InputError(
            f"input {header.spec.name!r} has {count} elements; "
            f"allowed: {header.count}, as its shape is {list(header.shape)}"
        )


def _read(header: TensorHeader, text: bytes) -> Array:
    """Return the elements, (count,); the text has `header.count` of them."""
    array = np.empty(header.count, numpy_dtype(header.spec.dtype))
    position = 0
    for block in _blocks(text):
        try:
            elements = orjson.loads(b"[%b]" % block)
        except orjson.JSONDecodeError as error:
            message = f"input {header.spec.name!r} has data that is not JSON: {error}"
            raise InputError(message) from error
        convert = _CONVERT.get(array.dtype.kind, _integers)
        array[position : position + len(elements)] = convert(header, elements, array.dtype)
        position += len(elements)
    if position != header.count:  # nothing between two commas
        raise InputError(f"input {header.spec.name!r} has data that is not JSON: a comma too many")
    return array


def _blocks(text: bytes) -> Iterator[bytes]:
    """Yield the elements of a list, flat, in blocks of JSON that end at commas.

    Brackets become blanks, so that a parser refuses numbers that only a bracket separates. A flat
    list that holds lists keeps theirs.
    """
    nested = _is_nested(text)
    first, end = (0, len(text)) if nested else (1, len(text) - 1)
    while first <= end:
        last = min(end, first + _BLOCK_BYTES)
        if last < end:
            last = text.rfind(b",", first, last)
            last = last if last >= 0 else text.find(b",", first + _BLOCK_BYTES, end)
            last = last if last >= 0 else end
        block = text[first:last]
        yield block.translate(_BRACKETS_TO_BLANKS) if nested else block
        first = last + 1


def _integers(header: TensorHeader, elements: Sequence[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    # numpy alone would read true as 1 and truncate 1.5 to 1
    _check_types(header, elements, {int}, "integers")
    limits = np.iinfo(dtype)
    if elements and not (min(elements) >= limits.min and max(elements) <= limits.max):
        raise InputError(
            f"input {header.spec.name!r} has an element out of range; "
            f"allowed: {limits.min} to {limits.max}"
        )
    return np.array(elements, dtype)


def _floats(header: TensorHeader, elements: Sequence[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    _check_types(header, elements, {int, float}, "numbers")
    wide = np.array(elements, np.float64)
    largest = float(np.finfo(dtype).max)
    if np.abs(wide).max(initial=0.0) > largest:
        raise InputError(
            f"input {header.spec.name!r} has an element out of range; "
            f"allowed: -{largest:g} to {largest:g}"
        )
    return wide.astype(dtype)


def _flags(header: TensorHeader, elements: Sequence[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    _check_types(header, elements, {bool, int}, "true, false, 0 and 1")
    if not set(elements) <= {0, 1}:
        raise InputError(f"input {header.spec.name!r} has an element out of range; allowed: 0, 1")
    return np.array(elements, dtype)


def _check_types(
    header: TensorHeader, elements: Sequence[Any], allowed: set[type], words: str
) -> None:
    others = set(map(type, elements)) - allowed
    if others:
        types = ", ".join(sorted(other.__name__ for other in others))
        raise InputError(
            f"input {header.spec.name!r} has elements of type {types}; allowed: {words}"
        )


_CONVERT = {"f": _floats, "b": _flags}

"""Tensors of the Open Inference Protocol: JSON lists or bytes to arrays, and back."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.artifact.manifest import TensorSpec
from runtime.artifact.spec import DATATYPES
from runtime.errors import InputError
from serve.text.quoting import quoted

Array = NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Declared:
    """What a request says of one input, checked against the model's."""

    spec: TensorSpec
    shape: tuple[int, ...]  # of the model's rank; no axis is negative

    @property
    def dtype(self) -> np.dtype[Any]:
        """Little-endian, as on the wire."""
        return np.dtype(self.spec.dtype).newbyteorder("<")

    @property
    def count(self) -> int:
        """Number of elements; Python's integers do not overflow."""
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """Of the elements as raw bytes."""
        return self.count * self.dtype.itemsize


def metadata(tensor: TensorSpec) -> dict[str, Any]:
    """A tensor in the model's metadata; an axis of any size is -1."""
    shape = [-1 if isinstance(axis, str) else axis for axis in tensor.shape]
    return {"name": tensor.name, "datatype": DATATYPES[tensor.dtype], "shape": shape}


def declare(spec: TensorSpec, *, datatype: Any, shape: Any) -> Declared:
    """Check the datatype and shape that a request gives an input.

    Raises:
        InputError: naming the tensor, what was found and what the model takes.
    """
    name, allowed = spec.name, metadata(spec)
    if datatype != DATATYPES[spec.dtype]:
        raise InputError(
            f"input {name!r} has datatype {quoted(datatype)}; allowed: {allowed['datatype']}"
        )
    if not isinstance(shape, list) or any(type(axis) is not int or axis < 0 for axis in shape):
        raise InputError(
            f"input {name!r} has shape {quoted(shape)}; allowed: a list of integers >= 0"
        )
    fits = len(shape) == len(spec.shape) and all(
        found > 0 and wanted in (-1, found)
        for found, wanted in zip(shape, allowed["shape"], strict=True)
    )
    if not fits:
        raise InputError(
            f"input {name!r} has shape {quoted(shape)}; "
            f"allowed: {allowed['shape']}, where -1 is any size"
        )
    return Declared(spec, tuple(shape))


def declare_raw(spec: TensorSpec, size_bytes: int) -> Declared:
    """The shape of an input of which only the bytes are known.

    Raises:
        InputError: more than one axis is of any size, or the bytes fill no whole number of rows.
    """
    free = [index for index, axis in enumerate(spec.shape) if isinstance(axis, str)]
    if len(free) > 1:
        raise InputError(f"input {spec.name!r} has {len(free)} axes of any size; send its shape")
    fixed = math.prod(axis for axis in spec.shape if isinstance(axis, int))
    row_bytes = fixed * np.dtype(spec.dtype).itemsize
    rows, rest = divmod(size_bytes, row_bytes)
    if rest or rows == 0 or (not free and rows != 1):
        allowed = "a multiple of " if free else ""
        raise InputError(
            f"input {spec.name!r} has {size_bytes} bytes; allowed: {allowed}{row_bytes} bytes"
        )
    return Declared(spec, tuple(rows if isinstance(axis, str) else axis for axis in spec.shape))


def from_bytes(declared: Declared, data: memoryview) -> Array:
    """An array over raw bytes, without a copy; they are as many as `size_bytes` says."""
    array: Array = np.frombuffer(data, declared.dtype).reshape(declared.shape)
    return array.astype(declared.spec.dtype, copy=False)


def from_json(declared: Declared, data: Any) -> Array:
    """An array from a JSON list, flat in row-major order or nested as the shape is.

    Raises:
        InputError: not such a list, another number of elements, or an element that the datatype
            does not hold.
    """
    elements = _flatten(declared, data)
    if len(elements) != declared.count:
        raise InputError(
            f"input {declared.spec.name!r} has {len(elements)} elements; "
            f"allowed: {declared.count}, as its shape is {list(declared.shape)}"
        )
    dtype = np.dtype(declared.spec.dtype)
    if dtype.kind == "f":
        values = _floats(declared, elements, dtype)
    else:
        values = _integers(declared, elements, dtype)
    return values.reshape(declared.shape)


def to_bytes(array: Array) -> bytes:
    """Row-major, little-endian."""
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def to_flat_list(name: str, array: Array) -> list[Any]:
    """Row-major, for JSON.

    Raises:
        InputError: a value that JSON has no word for.
    """
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError(
            f"output {name!r} holds NaN or infinity, which JSON cannot; "
            "ask for it with binary_data: true"
        )
    flat: list[Any] = array.ravel().tolist()
    return flat


def _flatten(declared: Declared, data: Any) -> Sequence[Any]:
    name, shape = declared.spec.name, declared.shape
    if not isinstance(data, list):
        raise InputError(f"input {name!r} has data that is not a list; allowed: a list of numbers")
    if not data or not isinstance(data[0], list):
        return data
    level: list[Any] = [data]
    for size in shape:
        if any(not isinstance(item, list) or len(item) != size for item in level):
            raise InputError(
                f"input {name!r} has data nested otherwise than its shape {list(shape)}"
            )
        level = list(chain.from_iterable(level))
    return level


def _integers(declared: Declared, elements: Sequence[Any], dtype: np.dtype[Any]) -> Array:
    # numpy alone would take true for 1 and cut 1.5 to 1
    _check_types(declared, elements, {int}, "integers")
    limits = np.iinfo(dtype)
    if elements and not (min(elements) >= limits.min and max(elements) <= limits.max):
        raise InputError(
            f"input {declared.spec.name!r} has an element out of range; "
            f"allowed: {limits.min} to {limits.max}"
        )
    return np.array(elements, dtype)


def _floats(declared: Declared, elements: Sequence[Any], dtype: np.dtype[Any]) -> Array:
    _check_types(declared, elements, {int, float}, "numbers")
    wide = np.array(elements, np.float64)
    largest = float(np.finfo(dtype).max)
    if np.abs(wide).max(initial=0.0) > largest:
        raise InputError(
            f"input {declared.spec.name!r} has an element out of range; "
            f"allowed: -{largest:g} to {largest:g}"
        )
    return wide.astype(dtype)


def _check_types(
    declared: Declared, elements: Sequence[Any], allowed: set[type], words: str
) -> None:
    strangers = set(map(type, elements)) - allowed
    if strangers:
        found = ", ".join(sorted(kind.__name__ for kind in strangers))
        raise InputError(
            f"input {declared.spec.name!r} has elements of type {found}; allowed: {words}"
        )

"""Convert tensors of the Open Inference Protocol, JSON lists or bytes, to arrays and back."""

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
from serve.text.messages import repr_truncated

Array = NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class TensorHeader:
    """The model's input that a tensor of a request is for, and the shape of that tensor."""

    spec: TensorSpec
    shape: tuple[int, ...]  # of the model's rank; no axis is negative

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the dtype of the bytes, little-endian."""
        return np.dtype(self.spec.dtype).newbyteorder("<")

    @property
    def count(self) -> int:
        """Return the number of elements; Python's integers do not overflow."""
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """Return the bytes of all elements."""
        return self.count * self.dtype.itemsize


def metadata(tensor: TensorSpec) -> dict[str, Any]:
    """Return the entry of a tensor in the model's metadata; an axis of any size is -1."""
    shape = [-1 if isinstance(axis, str) else axis for axis in tensor.shape]
    return {"name": tensor.name, "datatype": DATATYPES[tensor.dtype], "shape": shape}


def check_header(spec: TensorSpec, *, datatype: Any, shape: Any) -> TensorHeader:
    """Check the datatype and shape of an input in a request against the model's.

    Raises:
        InputError: naming the tensor, the value and what the model takes.
    """
    name, allowed = spec.name, metadata(spec)
    if datatype != DATATYPES[spec.dtype]:
        value = repr_truncated(datatype)
        raise InputError(f"input {name!r} has datatype {value}; allowed: {allowed['datatype']}")
    value = repr_truncated(shape)
    if not isinstance(shape, list) or any(type(axis) is not int or axis < 0 for axis in shape):
        raise InputError(f"input {name!r} has shape {value}; allowed: a list of integers >= 0")
    fits = len(shape) == len(spec.shape) and all(
        size > 0 and expected in (-1, size)
        for size, expected in zip(shape, allowed["shape"], strict=True)
    )
    if not fits:
        raise InputError(
            f"input {name!r} has shape {value}; allowed: {allowed['shape']}, where -1 is any size"
        )
    return TensorHeader(spec, tuple(shape))


def header_of_raw(spec: TensorSpec, size_bytes: int) -> TensorHeader:
    """Return the header of an input that is sent as bytes alone: the bytes determine its rows.

    Raises:
        InputError: more than one axis is of any size, or the bytes are not a multiple of a row's.
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
    return TensorHeader(spec, tuple(rows if isinstance(axis, str) else axis for axis in spec.shape))


def from_bytes(header: TensorHeader, data: memoryview) -> Array:
    """Return an array over `size_bytes` bytes of data, without a copy."""
    array: Array = np.frombuffer(data, header.dtype).reshape(header.shape)
    return array.astype(header.spec.dtype, copy=False)


def from_json(header: TensorHeader, data: Any) -> Array:
    """Return an array of a JSON list, flat in row-major order or nested like the shape.

    Raises:
        InputError: the data is no such list, has another number of elements, or an element that
            the datatype does not hold.
    """
    elements = _flatten(header, data)
    if len(elements) != header.count:
        raise InputError(
            f"input {header.spec.name!r} has {len(elements)} elements; "
            f"allowed: {header.count}, as its shape is {list(header.shape)}"
        )
    dtype = np.dtype(header.spec.dtype)
    if dtype.kind == "f":
        values = _floats(header, elements, dtype)
    else:
        values = _integers(header, elements, dtype)
    return values.reshape(header.shape)


def to_bytes(array: Array) -> bytes:
    """Return the elements as bytes, row-major and little-endian."""
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def to_flat_list(name: str, array: Array) -> list[Any]:
    """Return the elements as a flat list in row-major order, for JSON.

    Raises:
        InputError: a value is NaN or infinite, which JSON cannot express.
    """
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError(
            f"output {name!r} holds NaN or infinity, which JSON cannot; "
            "ask for it with binary_data: true"
        )
    flat: list[Any] = array.ravel().tolist()
    return flat


def _flatten(header: TensorHeader, data: Any) -> Sequence[Any]:
    name, shape = header.spec.name, header.shape
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


def _integers(header: TensorHeader, elements: Sequence[Any], dtype: np.dtype[Any]) -> Array:
    # numpy alone would read true as 1 and truncate 1.5 to 1
    _check_types(header, elements, {int}, "integers")
    limits = np.iinfo(dtype)
    if elements and not (min(elements) >= limits.min and max(elements) <= limits.max):
        raise InputError(
            f"input {header.spec.name!r} has an element out of range; "
            f"allowed: {limits.min} to {limits.max}"
        )
    return np.array(elements, dtype)


def _floats(header: TensorHeader, elements: Sequence[Any], dtype: np.dtype[Any]) -> Array:
    _check_types(header, elements, {int, float}, "numbers")
    wide = np.array(elements, np.float64)
    largest = float(np.finfo(dtype).max)
    if np.abs(wide).max(initial=0.0) > largest:
        raise InputError(
            f"input {header.spec.name!r} has an element out of range; "
            f"allowed: -{largest:g} to {largest:g}"
        )
    return wide.astype(dtype)


def _check_types(
    header: TensorHeader, elements: Sequence[Any], allowed: set[type], words: str
) -> None:
    others = set(map(type, elements)) - allowed
    if others:
        types = ", ".join(sorted(other.__name__ for other in others))
        raise InputError(
            f"input {header.spec.name!r} has elements of type {types}; allowed: {words}"
        )

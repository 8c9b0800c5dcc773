"""Convert tensors of the Open Inference Protocol in bytes to arrays and back."""

import math
from dataclasses import dataclass
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


def to_bytes(array: Array) -> bytes:
    """Return the elements as bytes, row-major and little-endian."""
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()

"""Convert tensors of the Open Inference Protocol in bytes to arrays and back."""

import math
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from runtime.artifact.manifest import TensorSpec
from runtime.artifact.spec import DATATYPES, numpy_dtype
from runtime.errors import InputError
from serve.protocol_v2.bytes_tensors import pack_elements, texts_of, unpack_elements
from serve.text.messages import repr_truncated

Array = NDArray[np.generic]
LARGEST_ROW = 2**31  # elements, of a tensor without rows: no bytes bound them


class TensorJson(TypedDict):
    """An input or output of a model."""

    name: str
    datatype: str
    shape: Annotated[list[int], "-1: any size"]


@dataclass(frozen=True, slots=True)
class TensorHeader:
    """The model's input that a tensor of a request is for, and the shape of that tensor."""

    spec: TensorSpec
    shape: tuple[int, ...]  # of the model's rank; no axis is negative

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the dtype of the bytes, little-endian."""
        return numpy_dtype(self.spec.dtype).newbyteorder("<")

    @property
    def is_text(self) -> bool:
        """Return whether the elements are strings, each of a length of its own."""
        return self.spec.dtype == "string"

    @property
    def count(self) -> int:
        """Return the number of elements; Python's integers do not overflow."""
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int | None:
        """Return the bytes of all elements; None for strings."""
        return None if self.is_text else self.count * self.dtype.itemsize


def metadata(tensor: TensorSpec) -> TensorJson:
    """Return the entry of a tensor in the model's metadata; an axis of any size is -1."""
    shape = [-1 if isinstance(axis, str) else axis for axis in tensor.shape]
    return {"name": tensor.name, "datatype": DATATYPES[tensor.dtype], "shape": shape}


def check_header(spec: TensorSpec, *, datatype: Any, shape: Any) -> TensorHeader:
    """Check the datatype and shape of an input in a request against the model's.

    The first axis may be 0 if it is of any size: a batch without rows.

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
    is_small = shape[:1] != [0] or math.prod(shape[1:]) <= LARGEST_ROW
    fits = len(shape) == len(spec.shape) and all(
        (size > 0 or index == 0) and expected in (-1, size)
        for index, (size, expected) in enumerate(zip(shape, allowed["shape"], strict=True))
    )
    if not (fits and is_small):
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
    if spec.dtype == "string":
        shape = tuple(1 if isinstance(axis, str) else axis for axis in spec.shape)
        if math.prod(shape) != 1:
            raise InputError(f"input {spec.name!r} has several strings; send its shape")
        return TensorHeader(spec, shape)
    fixed = math.prod(axis for axis in spec.shape if isinstance(axis, int))
    row_bytes = fixed * numpy_dtype(spec.dtype).itemsize
    rows, rest = divmod(size_bytes, row_bytes)
    if rest or rows == 0 or (not free and rows != 1):
        allowed = "a multiple of " if free else ""
        raise InputError(
            f"input {spec.name!r} has {size_bytes} bytes; allowed: {allowed}{row_bytes} bytes"
        )
    return TensorHeader(spec, tuple(rows if isinstance(axis, str) else axis for axis in spec.shape))


def from_bytes(header: TensorHeader, data: memoryview) -> Array:
    """Return an array of a tensor's bytes: over them, without a copy, if they are numbers.

    Raises:
        InputError: strings do not fill the bytes, or are not UTF-8; a BOOL is neither 0 nor 1.
    """
    if header.is_text:
        return of_texts(header, unpack_elements(data, header.count, header.spec.name))
    if header.spec.dtype == "bool" and np.frombuffer(data, np.uint8).max(initial=0) > 1:
        raise InputError(f"input {header.spec.name!r} is BOOL; allowed: bytes of 0 and 1")
    array: Array = np.frombuffer(data, header.dtype).reshape(header.shape)
    return array.astype(header.spec.dtype, copy=False)


def of_texts(header: TensorHeader, elements: list[bytes]) -> Array:
    """Return the array of a tensor of strings.

    Raises:
        InputError: an element is not UTF-8.
    """
    array = np.empty(header.count, object)
    array[:] = texts_of(elements, header.spec.name)
    return array.reshape(header.shape)


def to_bytes(array: Array) -> bytes:
    """Return the elements as bytes, row-major and little-endian."""
    if array.dtype.kind == "O":
        return pack_elements(str(text).encode() for text in array.ravel())
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()

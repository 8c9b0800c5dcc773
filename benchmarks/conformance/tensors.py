"""Tensors of the protocol as lists of Python values, and their bytes."""

import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

FORMATS = {
    "BOOL": "?", "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q", "INT8": "b",
    "INT16": "h", "INT32": "i", "INT64": "q", "FP16": "e", "FP32": "f", "FP64": "d",
}  # fmt: skip
BINARY_ONLY = ("FP16", "BF16")  # in Triton; others may take them as JSON
_LONGEST = 2**22  # elements of a tensor that is sent


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor that is sent or received."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: tuple[Any, ...]  # row-major; bytes for BYTES

    @property
    def data(self) -> bytes:
        """Return the elements as bytes: little-endian, BYTES with their lengths."""
        if self.datatype == "BYTES":
            return b"".join(struct.pack("<I", len(value)) + value for value in self.values)
        return struct.pack(f"<{len(self.values)}{FORMATS[self.datatype]}", *self.values)

    @property
    def json_values(self) -> list[Any]:
        """Return the elements as JSON has them, flat."""
        return [v.decode() if isinstance(v, bytes) else v for v in self.values]

    def nested(self) -> Any:
        """Return the elements as JSON lists nested like the shape."""
        items: list[Any] = self.json_values
        for size in reversed(self.shape[1:]):
            items = [items[first : first + size] for first in range(0, len(items), size)]
        return items

    def head(self, **fields: Any) -> dict[str, Any]:
        """Return the entry of a request without data, with more fields."""
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape), **fields}

    def as_json(self) -> dict[str, Any]:
        """Return the entry of a request with the data in it."""
        return self.head(data=self.json_values)

    def as_binary(self) -> dict[str, Any]:
        """Return the entry of a request whose data follow the JSON."""
        return self.head(parameters={"binary_data_size": len(self.data)})


def filled(name: str, datatype: str, shape: Sequence[int], first: int = 1) -> Tensor:
    """Return a tensor of small values: 0 to 3, beginning with `first`, one more for each row."""
    count = math.prod(shape)
    if count > _LONGEST:
        raise ValueError(f"{name} would have {count} elements")
    row = count // shape[0] if shape and shape[0] else count
    numbers = ((first + index // max(row, 1)) % 4 for index in range(count))
    return Tensor(name, datatype, tuple(shape), tuple(_value(datatype, n) for n in numbers))


def _value(datatype: str, number: int) -> Any:
    if datatype == "BYTES":
        return b"text %d" % number
    if datatype == "BOOL":
        return bool(number)
    return float(number) if datatype.startswith("FP") else number


def grey_png() -> bytes:
    """Return a grey image of 8 x 8 px."""
    rows = zlib.compress(8 * (b"\0" + 8 * b"\x80"))
    header = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def unpack(name: str, datatype: str, shape: Sequence[int], data: bytes) -> Tensor:
    """Return the tensor of some bytes.

    Raises:
        ValueError: their number is not that of the shape.
    """
    if datatype == "BYTES":
        values: list[Any] = []
        while data:
            (size,) = struct.unpack_from("<I", data)
            values.append(data[4 : 4 + size])
            data = data[4 + size :]
    elif len(data) != math.prod(shape) * struct.calcsize(f"<{FORMATS[datatype]}"):
        raise ValueError(f"output {name} has {len(data)} bytes for shape {list(shape)}")
    else:
        values = list(struct.unpack(f"<{math.prod(shape)}{FORMATS[datatype]}", data))
    if len(values) != math.prod(shape):
        raise ValueError(f"output {name} has {len(values)} elements for shape {list(shape)}")
    return Tensor(name, datatype, tuple(shape), tuple(values))

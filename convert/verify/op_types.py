"""Operators of an ONNX file, counted without the onnx package, which a server does not have.

A file is a protobuf message: fields, each with a number and a wire type. Field 7 of ModelProto is
the graph, field 1 of GraphProto a node, and field 4 of NodeProto its operator. All other fields are
skipped by their length.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from convert.errors import VerificationError

GRAPH, NODE, OP_TYPE = 7, 1, 4
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
FIXED_BYTES = {FIXED64: 8, FIXED32: 4}


def op_types(path: Path) -> Counter[str]:
    """Count each operator in the main graph; functions and subgraphs are not searched.

    Raises:
        VerificationError: the file is no protobuf message.
    """
    content = memoryview(path.read_bytes())
    try:
        return Counter(
            bytes(name).decode()
            for graph in _fields(content, GRAPH)
            for node in _fields(graph, NODE)
            for name in _fields(node, OP_TYPE)
        )
    except (IndexError, UnicodeDecodeError) as error:
        raise VerificationError(f"{path} is no ONNX file") from error


def _fields(message: memoryview, number: int) -> Iterator[memoryview]:
    """Yield the contents of the fields with a number, in order.

    Raises:
        IndexError: a field is of an unknown type or ends after the message.
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        wire_type = key & 7
        if wire_type == VARINT:
            _, at = _varint(message, at)
        elif wire_type == BYTES:
            size, at = _varint(message, at)
            if at + size > len(message):
                raise IndexError(at + size)
            if key >> 3 == number:
                yield message[at : at + size]
            at += size
        elif wire_type in FIXED_BYTES:
            at += FIXED_BYTES[wire_type]
        else:
            raise IndexError(wire_type)


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Return the number that begins at a position, and the position after it.

    A number is stored in groups of seven bits, the lowest first.
    """
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7

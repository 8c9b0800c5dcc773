"""Operators of an ONNX file, counted without the onnx package: where artifacts are verified again.

A file is a protobuf message: fields of a number and a wire type; of ModelProto 7 is the graph, of
GraphProto 1 a node, of NodeProto 4 its operator. All else is passed over by its length.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from convert.errors import VerificationError

GRAPH, NODE, OP_TYPE = 7, 1, 4
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
FIXED_BYTES = {FIXED64: 8, FIXED32: 4}


def op_types(path: Path) -> Counter[str]:
    """How often each operator occurs in the graph; functions and subgraphs are not looked into.

    Raises:
        VerificationError: not a protobuf message.
    """
    content = memoryview(path.read_bytes())
    try:
        return Counter(
            bytes(name).decode()
            for graph in _messages(content, GRAPH)
            for node in _messages(graph, NODE)
            for name in _messages(node, OP_TYPE)
        )
    except (IndexError, UnicodeDecodeError) as error:
        raise VerificationError(f"{path} is no ONNX file") from error


def _messages(message: memoryview, wanted: int) -> Iterator[memoryview]:
    """Contents of the fields of that number, in order."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            _, at = _varint(message, at)
        elif wire == BYTES:
            size, at = _varint(message, at)
            if at + size > len(message):
                raise IndexError(at + size)
            if number == wanted:
                yield message[at : at + size]
            at += size
        elif wire in FIXED_BYTES:
            at += FIXED_BYTES[wire]
        else:
            raise IndexError(wire)


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A number in groups of seven bits, lowest first, and where it ends."""
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7

"""Operators of an ONNX file, counted without the onnx package, which a server does not have."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from convert.errors import VerificationError
from runtime.artifact.onnx_file import read_fields

GRAPH, NODE, OP_TYPE = 7, 1, 4  # fields of ModelProto, GraphProto and NodeProto


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
    """Yield the contents of the fields with a number, in order."""
    return (content for field, content in read_fields(message) if field == number)

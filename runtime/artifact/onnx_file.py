"""ONNX files read without the onnx package, which a server does not have.

A file is a protobuf message: fields, each with a number and a wire type. Only messages and texts
are read here; all other fields are skipped by their length.
"""

from collections.abc import Iterator, Mapping, Sequence
from mmap import ACCESS_READ, mmap
from pathlib import Path

from runtime.artifact.manifest import File
from runtime.errors import ArtifactError, one_line

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_BYTES = {_FIXED64: 8, _FIXED32: 4}

# The messages that may hold a tensor: by kind of message, the kind of each of its fields.
_CHILDREN: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": dict.fromkeys((5, 10), "tensor")
    | dict.fromkeys((6, 11), "graph")
    | dict.fromkeys((22, 23), "sparse"),
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
_KEY, _VALUE = 1, 2  # of an entry
_PACKED = "prepacked_"  # the entries of weights as onnxruntime packs them: "name|offset;length;..."


def read_fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield the number and content of each message and text of a message, in order.

    Raises:
        IndexError: a field is of an unknown type or ends after the message.
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        wire_type = key & 7
        if wire_type == _VARINT:
            _, at = _varint(message, at)
        elif wire_type == _BYTES:
            size, at = _varint(message, at)
            if at + size > len(message):
                raise IndexError(at + size)
            yield key >> 3, message[at : at + size]
            at += size
        elif wire_type in _FIXED_BYTES:
            at += _FIXED_BYTES[wire_type]
        else:
            raise IndexError(wire_type)


def check_data_files(path: Path, files: Sequence[File]) -> None:
    """Check that the weights outside of an ONNX file lie within files that were verified.

    Without the check an artifact could name a file that no hash covers, or the end of a mapped file
    could be behind the end of the real one.

    Args:
        path: the ONNX file.
        files: that may hold weights.

    Raises:
        ArtifactError: weights lie in another file or behind the end, or it is no ONNX file.
    """
    sizes = {file.name: file.size_bytes for file in files}
    try:
        # mapped, as most of a file with its weights inside is skipped
        with path.open("rb") as stream:
            content = memoryview(mmap(stream.fileno(), 0, access=ACCESS_READ))
        for entries in _external_tensors(content, "model"):
            location = entries.get("location", "")
            if location not in sizes:
                allowed = ", ".join(sizes) or "none"
                raise ArtifactError(
                    f"{path} has weights in {location!r}; files of the variant for them: {allowed}"
                )
            if not all(0 <= a <= b <= sizes[location] for a, b in _ranges(entries)):
                raise ArtifactError(f"{path} has weights behind the end of {location}")
    except (IndexError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{path} is no ONNX file: {one_line(error)}") from error


def _external_tensors(message: memoryview, kind: str) -> Iterator[dict[str, str]]:
    """Yield the entries of each tensor of a message whose values lie in another file."""
    children = _CHILDREN[kind]
    entries = {}
    for number, content in read_fields(message):
        child = children.get(number)
        if child == "entry":
            texts = {n: bytes(text).decode() for n, text in read_fields(content)}
            entries[texts.get(_KEY, "")] = texts.get(_VALUE, "")
        elif child is not None:
            yield from _external_tensors(content, child)
    if entries:
        yield entries


def _ranges(entries: Mapping[str, str]) -> Iterator[tuple[int, int]]:
    """Yield begin and end, in bytes, of the values of a tensor and of each of its packed forms."""
    begin = int(entries.get("offset", "0"))
    yield begin, begin + int(entries.get("length", "0"))
    for key, value in entries.items():
        if key.startswith(_PACKED):
            for part in value.split("|")[1:]:
                offset, length = part.split(";")[:2]
                yield int(offset), int(offset) + int(length)


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

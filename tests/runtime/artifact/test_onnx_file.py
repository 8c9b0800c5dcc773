"""Weights outside of an ONNX file are found wherever a tensor may be."""

from pathlib import Path

import pytest

from runtime.artifact.manifest import File
from runtime.artifact.onnx_file import check_data_files
from runtime.errors import ArtifactError
from tests.support.artifacts import DATA

DATA_FILE = File("a.onnx.data", "", 100)


def field(number: int, content: bytes) -> bytes:
    """Encode a field that holds bytes: its key, its length, its content."""
    length, size = b"", len(content)
    while size >= 128:
        length, size = length + bytes([size % 128 + 128]), size // 128
    key = number << 3 | 2
    head = bytes([key]) if key < 128 else bytes([key % 128 + 128, key // 128])
    return head + length + bytes([size]) + content


def tensor(**entries: str) -> bytes:
    """Encode a tensor whose values lie elsewhere."""
    texts = [field(1, k.encode()) + field(2, v.encode()) for k, v in entries.items()]
    return b"".join(field(13, text) for text in texts) + b"\x70\x01"  # data_location: EXTERNAL


def graph(weight: bytes) -> bytes:
    return field(5, weight)


def node(attribute: bytes) -> bytes:
    return field(1, field(5, attribute))


PLACES = {
    "an initializer": lambda t: field(7, graph(t)),
    "a sparse initializer": lambda t: field(7, field(15, field(1, t))),
    "indices of a sparse initializer": lambda t: field(7, field(15, field(2, t))),
    "a constant": lambda t: field(7, node(field(5, t))),
    "constants": lambda t: field(7, node(field(10, t))),
    "a sparse constant": lambda t: field(7, node(field(22, field(1, t)))),
    "a branch": lambda t: field(7, node(field(6, graph(t)))),
    "branches": lambda t: field(7, node(field(11, node(field(6, graph(t)))))),
    "a function": lambda t: field(25, field(7, field(5, field(5, t)))),
}


@pytest.mark.parametrize("place", PLACES)
def test_weights_in_a_file_that_is_not_listed_are_refused(tmp_path: Path, place: str) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(PLACES[place](tensor(location="../b", offset="0", length="1")))
    with pytest.raises(ArtifactError, match=r"a\.onnx has weights in '\.\./b'; .*: a\.onnx\.data"):
        check_data_files(path, [DATA_FILE])
    path.write_bytes(PLACES[place](tensor(location="a.onnx.data", offset="0", length="1")))
    check_data_files(path, [DATA_FILE])


@pytest.mark.parametrize(
    "entries",
    [
        {"offset": "0", "length": "101"},
        {"offset": "-1", "length": "4"},
        {"length": "1000"},
        {"offset": "0", "length": "4", "prepacked_0": "MatMul+1|90;11;0"},
        {"offset": "0", "length": "4", "prepacked_0": "MatMul+1|0;4;0|100;1;0"},
    ],
)
def test_weights_behind_the_end_of_their_file_are_refused(
    tmp_path: Path, entries: dict[str, str]
) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(field(7, graph(tensor(location="a.onnx.data", **entries))))
    with pytest.raises(ArtifactError, match=r"has weights behind the end of a\.onnx\.data"):
        check_data_files(path, [DATA_FILE])


def test_packed_weights_within_their_file_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    packed = "MatMul+1|40;20;0|60;40;0"
    weight = tensor(location="a.onnx.data", offset="0", length="4", prepacked_0=packed)
    path.write_bytes(field(7, graph(weight)))
    check_data_files(path, [DATA_FILE])


@pytest.mark.parametrize("path", sorted(DATA.glob("*.onnx")), ids=lambda path: path.stem)
def test_files_with_their_weights_inside_need_no_other(path: Path) -> None:
    check_data_files(path, [])


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    position = tensor(location="a.onnx.data", offset="x")
    for content in (b"", b"\xff" * 20, field(7, graph(position)), field(7, b"\x2a\x7f")):
        path.write_bytes(content)
        with pytest.raises(ArtifactError, match="is no ONNX file"):
            check_data_files(path, [DATA_FILE])

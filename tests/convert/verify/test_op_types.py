"""Operators of a file, counted without the onnx package."""

from pathlib import Path

import onnx
import pytest

from convert.errors import VerificationError
from convert.verify.op_types import op_types
from tests.support.artifacts import DATA

FILES = sorted(DATA.glob("*.onnx"))


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_counts_equal_those_of_the_onnx_package(path: Path) -> None:
    nodes = onnx.load(path).graph.node
    assert sum(op_types(path).values()) == len(nodes) > 0
    assert op_types(path).keys() == {node.op_type for node in nodes}


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    content = FILES[0].read_bytes()
    for broken in (content[: len(content) // 2], b"\xff" * 20, b"PK\x03\x04 and so on"):
        path.write_bytes(broken)
        with pytest.raises(VerificationError, match="is no ONNX file"):
            op_types(path)

"""Compare layers that differ in one thing."""

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from tests.deploy.image.layers import differences, read_layers

FILES = {"a": b"one", "b": b"two"}


def write_image(folder: Path, files: dict[str, bytes], **fields: int) -> Path:
    """Write an image of one layer in OCI's layout; `fields` are of the member `b`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            for field, value in fields.items() if name == "b" else ():
                setattr(member, field, value)
            archive.addfile(member, io.BytesIO(data))
    layer = gzip.compress(buffer.getvalue(), mtime=0)
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def add(data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return f"sha256:{digest}"

    diff_id = f"sha256:{hashlib.sha256(buffer.getvalue()).hexdigest()}"
    config = add(json.dumps({"rootfs": {"diff_ids": [diff_id]}}).encode())
    rows = [{"digest": add(layer), "size": len(layer)}]
    manifest = add(json.dumps({"config": {"digest": config}, "layers": rows}).encode())
    (folder / "index.json").write_text(json.dumps({"manifests": [{"digest": manifest}]}))
    return folder


def test_equal_layers_have_no_differences(tmp_path: Path) -> None:
    one, same = (read_layers(write_image(tmp_path / name, FILES)) for name in ("1", "2"))
    assert differences(one, same) == []
    assert one[0].unpacked_bytes % tarfile.BLOCKSIZE == 0
    assert one[0].packed_bytes < one[0].unpacked_bytes


@pytest.mark.parametrize(
    ("files", "fields", "line"),
    [
        (FILES | {"b": b"too"}, {}, "b differs in sha256"),
        (FILES, {"mtime": 5}, "b differs in mtime"),
        (FILES, {"mode": 0o600}, "b differs in mode"),
        (FILES, {"uid": 5}, "b differs in owner"),
        ({"a": b"one"}, {}, "b is in one alone"),
    ],
)
def test_a_difference_is_named(
    tmp_path: Path, files: dict[str, bytes], fields: dict[str, int], line: str
) -> None:
    one = read_layers(write_image(tmp_path / "1", FILES))
    other = read_layers(write_image(tmp_path / "2", files, **fields))
    assert differences(one, other) == [f"layer 0: {line}"]


def test_a_missing_layer_is_a_difference(tmp_path: Path) -> None:
    assert differences(read_layers(write_image(tmp_path / "1", FILES)), []) == ["1 and 0 layers"]

"""Versions as a tar: equal bytes for equal contents, and nothing hostile comes out of one."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.errors import ArtifactError
from runtime.transport.limits import Limits
from runtime.transport.tar import pack, unpack
from tests.support.artifacts import CLASSIFIER, EMBEDDING, steeper, write_artifact

MODEL = "face_emotion_xception"


def unpacked(tar: Path, out: Path, limits: Limits | None = None) -> None:
    unpack(tar, out, limits or Limits(), lambda _: None)


def names(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a directory of two models and their routes."""
    for graph in (EMBEDDING, CLASSIFIER):
        write_artifact(tmp_path / "artifacts", graph)
    (tmp_path / "artifacts/routing.json").write_text('{"schema_version": 1, "models": {}}')
    return tmp_path / "artifacts"


def test_equal_contents_make_equal_tars(source: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one.tar", tmp_path / "two.tar"
    pack(source, one, Limits())
    unpacked(one, tmp_path / "copy")
    assert names(tmp_path / "copy") - {".work/pull.lock"} == names(source)
    for path in source.rglob("*.onnx"):
        path.chmod(0o600)
    pack(source, two, Limits())
    assert one.read_bytes() == two.read_bytes()
    pack(tmp_path / "copy", two, Limits())
    assert one.read_bytes() == two.read_bytes()
    with tarfile.open(one) as tar:  # other programs read it
        members = tar.getmembers()
    assert {(m.mtime, m.uid, m.gid, m.mode, m.uname, m.type) for m in members} == {
        (0, 0, 0, 0o644, "", tarfile.REGTYPE)
    }
    assert [m.name for m in members][:2] == [f"{MODEL}/1/manifest.json", f"{MODEL}/1/float.onnx"]


def test_a_version_of_a_tar_does_not_replace_another(source: Path, tmp_path: Path) -> None:
    pack(source / MODEL / "1", tmp_path / "a.tar", Limits())
    write_artifact(tmp_path / "out", CLASSIFIER, data=steeper(5))
    with pytest.raises(ArtifactError, match="never changes"):
        unpacked(tmp_path / "a.tar", tmp_path / "out")


def member(name: str, data: bytes = b"x", type_: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(data), type_, link
    return info.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % 512)


def sparse(_: bytes) -> bytes:
    return member(f"{MODEL}/2/float.onnx", type_=tarfile.GNUTYPE_SPARSE)


def long_path(_: bytes) -> bytes:
    info = tarfile.TarInfo(f"{MODEL}/1/" + "x" * 300)
    return info.tobuf(tarfile.PAX_FORMAT)


def huge(_: bytes) -> bytes:
    info = tarfile.TarInfo(f"{MODEL}/2/float.onnx")
    info.size = 1 << 33
    return info.tobuf(tarfile.GNU_FORMAT)


def changed(data: bytes) -> bytes:
    """Return the tar with one bit of the graph changed."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        place = tar.getmember(f"{MODEL}/1/float.onnx").offset_data
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


HOSTILE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "out of the directory": (lambda _: member("../x/1/f"), "allowed: <model>/<version>/<file>"),
    "dots as a file": (lambda _: member(f"{MODEL}/1/.."), "allowed: <model>"),
    "absolute": (lambda _: member("/etc/1/passwd"), "allowed: <model>"),
    "hidden": (lambda _: member(f"{MODEL}/1/.ssh"), "allowed: <model>"),
    "link": (lambda _: member(f"{MODEL}/1/a", b"", tarfile.SYMTYPE, "/etc"), "type b'2'"),
    "hard link": (lambda _: member(f"{MODEL}/1/a", b"", tarfile.LNKTYPE, "b"), "type b'1'"),
    "device": (lambda _: member(f"{MODEL}/1/a", b"", tarfile.CHRTYPE), "type b'3'"),
    "pipe": (lambda _: member(f"{MODEL}/1/a", b"", tarfile.FIFOTYPE), "type b'6'"),
    "folder": (lambda _: member(f"{MODEL}/1", b"", tarfile.DIRTYPE), "type b'5'"),
    "sparse": (sparse, "type b'S'"),
    "extended header": (long_path, "type b'x'"),
    "longer than the file": (huge, "cut within"),
    "a large manifest": (
        lambda _: member(f"{MODEL}/9/manifest.json", bytes((4 << 20) + 1)),
        "has 4194305 bytes; allowed: 4194304",
    ),
    "twice": (lambda data: data[:-1024] + data, r"holds .* twice"),
    "no manifest": (lambda _: member(f"{MODEL}/1/a") + bytes(1024), "lacks manifest.json"),
    "a further file": (
        lambda data: data[:-1024] + member(f"{MODEL}/1/more") + bytes(1024),
        "is not in manifest.json",
    ),
    "changed": (changed, f"{MODEL}/1/float.onnx with sha256"),
    "cut": (lambda data: data[:-1024], "no tar, or is cut"),
    "no tar": (lambda _: b"PK" + bytes(2000), "no tar"),
    "empty": (lambda _: bytes(1024), "no version of a model"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_tar_leaves_nothing(case: str, source: Path, tmp_path: Path) -> None:
    tar = tmp_path / "a.tar"
    pack(source / MODEL / "1", tar, Limits())
    make, message = HOSTILE[case]
    tar.write_bytes(make(tar.read_bytes()))
    with pytest.raises(ArtifactError, match=message):
        unpacked(tar, tmp_path / "out")
    assert [name for name in names(tmp_path / "out") if not name.startswith(".work/")] == []


def test_a_tar_has_limits(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="allowed: 1000"):
        pack(source, tmp_path / "a.tar", Limits(size_bytes=1000))
    assert list(tmp_path.glob("a.tar*")) == []
    pack(source, tmp_path / "a.tar", Limits())
    with pytest.raises(ArtifactError, match="allowed: 1000"):
        unpacked(tmp_path / "a.tar", tmp_path / "out", Limits(size_bytes=1000))

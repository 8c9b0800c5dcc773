"""The cache of a server: what it takes without the registry, and what makes room for more."""

import shutil
from pathlib import Path

import pytest

from runtime.errors import ArtifactError, UnavailableError
from runtime.transport.limits import Limits
from runtime.transport.reference import Reference, parse_reference
from runtime.transport.registry import Registry
from runtime.transport.snapshots import DONE, Cache, Snapshot
from runtime.transport.transfer import push
from tests.support.artifacts import CLASSIFIER, steeper, write_artifact
from tests.support.ports import free_port
from tests.support.registry import Gate

ROOM = 1 << 30
QUICK = Limits(pauses_s=(0.01,))


def sent(gate: Gate, source: Path, tag: str) -> Reference:
    """Push a directory to the repository of the tests; return its reference by digest."""
    registry = Registry(parse_reference(f"oci://{gate.host}/cached:{tag}"), Limits())
    return push(source, registry, lambda _: None)


def obtained(gate: Gate, cache: Cache, version: str) -> tuple[Snapshot, list[str]]:
    lines: list[str] = []
    registry = Registry(parse_reference(f"oci://{gate.host}/cached{version}"), QUICK)
    return cache.obtain(registry, lines.append), lines


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", ROOM)


def test_a_digest_in_the_cache_is_not_asked_for(gate: Gate, cache: Cache, artifacts: Path) -> None:
    write_artifact(artifacts, CLASSIFIER)
    reference = sent(gate, artifacts, "one")
    first, _ = obtained(gate, cache, f"@{reference.digest}")
    gate.requests.clear()
    second, lines = obtained(gate, cache, f"@{reference.digest}")
    assert (gate.requests, second.directory) == ([], first.directory)
    assert lines == [f"{reference} is in {cache.directory}"]
    assert (second.directory / "face_emotion_xception/1/float.onnx").is_file()


def test_a_tag_is_taken_from_the_cache_if_the_registry_is_down(
    gate: Gate, cache: Cache, artifacts: Path
) -> None:
    write_artifact(artifacts, CLASSIFIER)
    first = sent(gate, artifacts, "moving")
    port, gate.registry_port = gate.registry_port, free_port()
    with pytest.raises(UnavailableError, match="is not reached"):
        obtained(gate, cache, ":moving")
    gate.registry_port = port
    obtained(gate, cache, ":moving")
    gate.registry_port = free_port()
    snapshot, lines = obtained(gate, cache, ":moving")
    assert snapshot.digest == first.digest
    assert lines[-1].endswith(f"; serving {first.digest} from {cache.directory}")
    with pytest.raises(UnavailableError):  # another tag was never pulled
        obtained(gate, cache, ":other")
    gate.registry_port = port
    write_artifact(artifacts, CLASSIFIER, version=2)
    second = sent(gate, artifacts, "moving")
    assert obtained(gate, cache, ":moving")[0].digest == second.digest
    # a registry that is reached and refuses is not down
    gate.basic = "me:secret"
    with pytest.raises(ArtifactError, match="asks for a user"):
        obtained(gate, cache, ":moving")


def test_versions_of_other_snapshots_are_linked(gate: Gate, cache: Cache, artifacts: Path) -> None:
    write_artifact(artifacts, CLASSIFIER)
    first, _ = obtained(gate, cache, f"@{sent(gate, artifacts, 'a').digest}")
    write_artifact(artifacts, CLASSIFIER, version=2)
    second, _ = obtained(gate, cache, f"@{sent(gate, artifacts, 'b').digest}")
    name = "face_emotion_xception/1/float.onnx"
    assert (first.directory / name).stat().st_ino == (second.directory / name).stat().st_ino


def test_the_cache_is_bounded(gate: Gate, cache: Cache, artifacts: Path) -> None:
    references = []
    for steepness in (5, 6, 7):
        write_artifact(artifacts, CLASSIFIER, data=steeper(steepness))
        references.append(sent(gate, artifacts, "bounded"))
        shutil.rmtree(artifacts)
    kept, _ = obtained(gate, cache, f"@{references[0].digest}")
    size = sum(path.stat().st_size for path in kept.directory.rglob("*") if path.is_file())
    small = Cache(cache.directory, size * 3 // 2)
    other, lines = obtained(gate, small, f"@{references[1].digest}")
    assert not any("removed" in line for line in lines)  # this process serves the first one
    assert kept.directory.is_dir()
    kept.release()
    other.release()
    last, lines = obtained(gate, small, f"@{references[2].digest}")
    assert sum("to make room" in line for line in lines) == 2
    assert sorted(path.name for path in cache.directory.iterdir() if len(path.name) == 64) == [
        last.directory.name
    ]
    with pytest.raises(ArtifactError, match=r"has \d+ bytes; the cache .* may have 0 MiB"):
        obtained(gate, Cache(cache.directory, 100), f"@{references[0].digest}")


def test_a_half_pulled_snapshot_is_not_served(gate: Gate, cache: Cache, artifacts: Path) -> None:
    write_artifact(artifacts, CLASSIFIER)
    reference = sent(gate, artifacts, "half")
    snapshot, _ = obtained(gate, cache, f"@{reference.digest}")
    (snapshot.directory / DONE).unlink()
    port, gate.registry_port = gate.registry_port, free_port()
    with pytest.raises(UnavailableError):
        obtained(gate, cache, f"@{reference.digest}")
    gate.registry_port = port
    assert obtained(gate, cache, f"@{reference.digest}")[0].directory == snapshot.directory

"""Versions to a real docker-registry and back, through a gate that cuts, redirects and asks."""

import hashlib
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from runtime.errors import ArtifactError, CancelledError, UnavailableError
from runtime.transport import transfer
from runtime.transport.credentials import Credentials
from runtime.transport.limits import Limits
from runtime.transport.reference import Reference, parse_reference
from runtime.transport.registry import Registry, bytes_of
from runtime.transport.transfer import pull, pull_manifests, push, resolve
from tests.support.artifacts import CLASSIFIER, EMBEDDING, steeper, write_artifact
from tests.support.registry import DockerRegistry, Gate, gate_before

LARGE = 3 << 20
USER = Credentials("me", "se:cret")


def registry_at(
    gate: Gate,
    version: str = ":one",
    *,
    repository: str = "zoo",
    limits: Limits | None = None,
    credentials: Credentials | None = None,
) -> Registry:
    reference = parse_reference(f"oci://{gate.host}/tests/{repository}{version}")
    return Registry(reference, limits or Limits(), credentials)


def send(source: Path, registry: Registry) -> Reference:
    return push(source, registry, lambda _: None)


def fetch(registry: Registry, out: Path) -> list[str]:
    lines: list[str] = []
    digest, items = resolve(registry)
    pull(registry, digest, items, out, lines.append)
    return lines


def tree(root: Path) -> dict[str, bytes]:
    """Return the files of a directory of artifacts by name, without what readers ignore."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and ".work" not in path.parts
    }


def test_a_zoo_comes_back_by_tag_and_by_digest(artifacts: Path, tmp_path: Path, gate: Gate) -> None:
    write_artifact(artifacts, CLASSIFIER)
    write_artifact(artifacts, EMBEDDING)
    (artifacts / "routing.json").write_text('{"schema_version": 1, "models": {}}')
    reference = send(artifacts, registry_at(gate))
    for number, version in enumerate((":one", f"@{reference.digest}")):
        fetch(registry_at(gate, version), tmp_path / str(number))
        assert tree(tmp_path / str(number)) == tree(artifacts)
    # the digest is that of the content, wherever and whenever it is sent
    assert send(artifacts, registry_at(gate, ":two", repository="other")).digest == reference.digest


def test_only_what_is_new_is_sent_and_fetched(artifacts: Path, tmp_path: Path, gate: Gate) -> None:
    write_artifact(artifacts, CLASSIFIER)
    registry = registry_at(gate, repository="updates")
    send(artifacts, registry)
    fetch(registry, tmp_path / "out")
    write_artifact(artifacts, CLASSIFIER, version=2)  # the same graph and samples
    gate.requests.clear()
    gate.sent = 0
    send(artifacts, registry)
    assert len(gate.of("PATCH")) == 2  # the new manifest.json, and the config that lists versions
    lines = fetch(registry, tmp_path / "out")
    assert lines[0].endswith("/1 is there already")
    assert gate.sent == (artifacts / "face_emotion_xception/2/manifest.json").stat().st_size
    assert tree(tmp_path / "out") == tree(artifacts)


def test_one_version_is_sent_alone(artifacts: Path, tmp_path: Path, gate: Gate) -> None:
    write_artifact(artifacts, EMBEDDING)
    write_artifact(artifacts, CLASSIFIER)
    directory = write_artifact(artifacts, CLASSIFIER, version=2)
    send(directory, registry_at(gate, repository="single"))
    fetch(registry_at(gate, repository="single"), tmp_path / "out")
    assert {name.rpartition("/")[0] for name in tree(tmp_path / "out")} == {
        "face_emotion_xception/2"
    }


def large_blob(tmp_path: Path) -> tuple[Path, str]:
    path = tmp_path / "large"
    path.write_bytes(os.urandom(LARGE))
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("resumes", [True, False])
def test_an_upload_that_breaks_goes_on(tmp_path: Path, gate: Gate, resumes: bool) -> None:
    path, sha256 = large_blob(tmp_path)
    registry = registry_at(gate)
    gate.cut_after, gate.resumes = [2 << 20], resumes
    registry.push_blob(sha256, LARGE, partial(bytes_of, path))
    first, second = gate.of("PATCH")
    assert first["Content-Range"] == f"0-{LARGE - 1}"
    # docker-registry 2.8 forgets an upload that broke: it begins anew
    begin = 2 << 20 if resumes else 0
    assert second["Content-Range"] == f"{begin}-{LARGE - 1}"
    assert second["Content-Length"] == str(LARGE - begin)
    gate.resumes = False
    registry.fetch_blob(sha256, LARGE, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == path.read_bytes()


def test_a_download_that_breaks_goes_on(tmp_path: Path, gate: Gate) -> None:
    path, sha256 = large_blob(tmp_path)
    registry = registry_at(gate)
    registry.push_blob(sha256, LARGE, partial(bytes_of, path))
    gate.cut_after = [1 << 20, 1 << 20]
    registry.fetch_blob(sha256, LARGE, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == path.read_bytes()
    begins = [headers.get("Range") for headers in gate.of("GET", "/blobs/sha256:")]
    assert begins == [None, f"bytes={1 << 20}-", f"bytes={2 << 20}-"]


def test_a_registry_that_dies_leaves_no_half_version(
    artifacts: Path, tmp_path: Path, gate: Gate, running_registry: DockerRegistry
) -> None:
    write_artifact(artifacts, CLASSIFIER)
    registry = registry_at(gate, repository="dying", limits=Limits(pauses_s=(0.1,)))
    send(artifacts, registry)
    digest, items = resolve(registry)
    out = tmp_path / "out"
    gate.cut_after = [items[0].size_bytes + 1, 100]  # the manifest, then a part of the graph
    gate.stall = threading.Event()
    thread = threading.Thread(target=_kill_later, args=(running_registry, gate), daemon=True)
    thread.start()
    try:
        with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:\d+ is not reached: .*attempts"):
            pull(registry, digest, items, out, lambda _: None)
    finally:
        thread.join()
        running_registry.start()
    assert tree(out) == {}
    assert [path.name for path in out.rglob("*.part")] == ["float.onnx.part"]
    gate.requests.clear()
    pull(registry, digest, items, out, lambda _: None)
    assert gate.of("GET", "/blobs/")[0]["Range"] == "bytes=100-"
    assert tree(out) == tree(artifacts)
    assert [path.name for path in (out / ".work").iterdir()] == ["pull.lock"]


def _kill_later(registry: DockerRegistry, gate: Gate) -> None:
    while gate.cut_after:
        time.sleep(0.01)
    registry.kill()
    assert gate.stall is not None
    gate.stall.set()
    gate.stall = None


def test_a_tampered_blob_is_refused(
    artifacts: Path, tmp_path: Path, gate: Gate, running_registry: DockerRegistry
) -> None:
    directory = write_artifact(artifacts, CLASSIFIER, data=steeper(7))
    registry = registry_at(gate, repository="tampered")
    reference = send(artifacts, registry)
    sha256 = hashlib.sha256((directory / "float.onnx").read_bytes()).hexdigest()
    blob = running_registry.blob(sha256)
    data = bytearray(blob.read_bytes())
    data[100] ^= 1
    blob.write_bytes(data)
    with pytest.raises(ArtifactError, match=rf"float.onnx that arrived .* says {sha256}"):
        fetch(registry_at(gate, f"@{reference.digest}", repository="tampered"), tmp_path / "out")
    assert tree(tmp_path / "out") == {}
    assert list((tmp_path / "out").rglob("float.onnx*")) == []


def test_another_manifest_than_that_of_the_digest_is_refused(
    artifacts: Path, gate: Gate, running_registry: DockerRegistry
) -> None:
    write_artifact(artifacts, CLASSIFIER, version=3)
    reference = send(artifacts, registry_at(gate, repository="moved"))
    blob = running_registry.blob(reference.digest.removeprefix("sha256:"))
    blob.write_bytes(blob.read_bytes().replace(b"xception/3/float", b"xception/3/f1oat"))
    with pytest.raises(ArtifactError):
        resolve(registry_at(gate, f"@{reference.digest}", repository="moved"))


def test_manifests_alone_have_a_limit_together(
    artifacts: Path, tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    size_bytes = (write_artifact(artifacts, CLASSIFIER) / "manifest.json").stat().st_size
    size_bytes += (write_artifact(artifacts, EMBEDDING) / "manifest.json").stat().st_size
    registry = registry_at(gate, repository="manifests")
    send(artifacts, registry)
    monkeypatch.setattr(transfer, "ALL_MANIFESTS_BYTES", size_bytes - 1)
    with pytest.raises(ArtifactError, match=r"its manifest\.json files have 0 MiB; allowed: 0"):
        pull_manifests(registry, tmp_path / "out")
    assert tree(tmp_path / "out") == {}
    monkeypatch.setattr(transfer, "ALL_MANIFESTS_BYTES", size_bytes)
    pull_manifests(registry, tmp_path / "out")
    assert {Path(name).name for name in tree(tmp_path / "out")} == {"manifest.json"}


def test_a_published_version_is_not_replaced(artifacts: Path, tmp_path: Path, gate: Gate) -> None:
    write_artifact(artifacts, CLASSIFIER)
    send(artifacts, registry_at(gate, repository="twice"))
    write_artifact(tmp_path / "out", CLASSIFIER, data=steeper(5))
    before = tree(tmp_path / "out")
    with pytest.raises(ArtifactError, match="a published version never changes"):
        fetch(registry_at(gate, repository="twice"), tmp_path / "out")
    assert tree(tmp_path / "out") == before


def test_a_damaged_version_is_not_sent(artifacts: Path, gate: Gate) -> None:
    (write_artifact(artifacts, CLASSIFIER) / "float.onnx").write_bytes(b"cut")
    with pytest.raises(ArtifactError, match="has 3 bytes; the manifest says"):
        send(artifacts, registry_at(gate))
    assert gate.requests == []


@pytest.mark.parametrize("token", ["", "a-token"])
def test_credentials_open_a_registry(
    artifacts: Path, tmp_path: Path, gate: Gate, token: str
) -> None:
    gate.basic, gate.token = f"{USER.user}:{USER.password}", token
    write_artifact(artifacts, CLASSIFIER)
    send(artifacts, registry_at(gate, credentials=USER))
    fetch(registry_at(gate, credentials=USER), tmp_path / "out")
    assert tree(tmp_path / "out") == tree(artifacts)
    for wrong in (None, Credentials("me", "guess")):
        with pytest.raises(ArtifactError) as caught:
            resolve(registry_at(gate, credentials=wrong))
        assert "guess" not in str(caught.value)


def test_a_redirect_gets_no_credentials(
    artifacts: Path, tmp_path: Path, gate: Gate, running_registry: DockerRegistry
) -> None:
    write_artifact(artifacts, CLASSIFIER)
    gate.basic = f"{USER.user}:{USER.password}"
    send(artifacts, registry_at(gate, credentials=USER))
    with gate_before(running_registry) as other:
        gate.redirect_to = other.host
        fetch(registry_at(gate, credentials=USER), tmp_path / "out")
        assert tree(tmp_path / "out") == tree(artifacts)
        assert len(other.of("GET", "/blobs/")) == 3
        assert all("Authorization" not in headers for _, _, headers in other.requests)
        gate.redirect_to = gate.host  # to itself, again and again
        with pytest.raises(ArtifactError, match="more than 5 times"):
            fetch(registry_at(gate, credentials=USER), tmp_path / "round")


def sizes(gate: Gate) -> Limits:
    return Limits(size_bytes=1000)


def time_is_over(gate: Gate) -> Limits:
    return Limits(seconds=0.0)


def stopped(gate: Gate) -> Limits:
    return Limits(is_cancelled=lambda: len(gate.of("GET")) > 1)


@pytest.mark.parametrize(
    ("limits", "error", "message"),
    [
        (sizes, ArtifactError, "allowed: 1000"),
        (time_is_over, UnavailableError, "not done after 0 s"),
        (stopped, CancelledError, "was stopped"),
    ],
)
def test_a_transfer_has_limits(
    artifacts: Path,
    tmp_path: Path,
    gate: Gate,
    limits: Callable[[Gate], Limits],
    error: type[Exception],
    message: str,
) -> None:
    write_artifact(artifacts, CLASSIFIER)
    send(artifacts, registry_at(gate, repository="limits"))
    gate.requests.clear()
    with pytest.raises(error, match=message):
        fetch(registry_at(gate, repository="limits", limits=limits(gate)), tmp_path / "out")
    assert tree(tmp_path / "out") == {}


def test_a_blob_that_is_longer_than_the_manifest_says_is_refused(
    tmp_path: Path, gate: Gate
) -> None:
    path, sha256 = large_blob(tmp_path)
    registry = registry_at(gate)
    registry.push_blob(sha256, LARGE, partial(bytes_of, path))
    with pytest.raises(ArtifactError, match="longer than the 100000 bytes"):
        registry.fetch_blob(sha256, 100_000, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_full_disk_is_no_fault_of_the_registry(tmp_path: Path, gate: Gate) -> None:
    path, sha256 = large_blob(tmp_path)
    registry = registry_at(gate)
    registry.push_blob(sha256, LARGE, partial(bytes_of, path))
    (tmp_path / "back.part").symlink_to("/dev/full")
    with pytest.raises(ArtifactError, match=r"back.part cannot be written: No space left"):
        registry.fetch_blob(sha256, LARGE, tmp_path / "back")
    assert len(gate.of("GET", "/blobs/sha256:")) == 1
    with pytest.raises(ArtifactError, match="absent cannot be read"):
        registry.push_blob("0" * 64, LARGE, partial(bytes_of, tmp_path / "absent"))


def test_http_is_for_registries_of_this_machine(tmp_path: Path, gate: Gate) -> None:
    there = parse_reference("oci://registry.example/zoo")
    assert Registry(there, Limits())._base == "https://registry.example/v2/zoo"
    assert Registry(there, Limits(), plain_http=True)._base.startswith("http://")
    for text in ("127.0.0.1:5000", "localhost", "[::1]:5000"):
        assert parse_reference(f"oci://{text}/zoo").is_loopback
    assert not parse_reference("oci://127.0.0.1.example/zoo").is_loopback

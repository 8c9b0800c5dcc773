"""A server that pulls its artifacts at the start, or takes them from its cache."""

import hashlib
import re
import signal
import socket
import threading
import time
from pathlib import Path

import httpx
import pytest

from runtime.transport.limits import Limits
from runtime.transport.reference import Reference, parse_reference
from runtime.transport.registry import Registry
from runtime.transport.transfer import push
from serve.lifecycle.check import check
from serve.settings import from_environment
from tests.support.artifacts import CLASSIFIER, EMBEDDING, steeper, write_artifact
from tests.support.images import solid
from tests.support.ports import free_port
from tests.support.registry import DockerRegistry, Gate
from tests.support.server_process import serving, start

XCEPTION = "face_emotion_xception"
START_S = 60


def sent(source: Path, gate: Gate, name: str) -> Reference:
    """Push a directory; return its reference by digest."""
    reference = parse_reference(f"oci://{gate.host}/{name}:now")
    return push(source, Registry(reference, Limits()), lambda _: None)


def version_at(url: str) -> str:
    answer = httpx.post(f"{url}/api/predict", content=solid(255, 255, 255), timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.headers["x-model-version"]


def settings(gate: Gate, tmp_path: Path, name: str, **others: str) -> dict[str, str]:
    return {
        "SLIPWAY_ARTIFACTS": f"oci://{gate.host}/{name}:now",
        "SLIPWAY_PULL_CACHE": str(tmp_path / "cache"),
        "DOCKER_CONFIG": str(tmp_path),
        **others,
    }


def test_a_killed_pull_goes_on_and_serves_without_the_registry_too(
    tmp_path: Path, gate: Gate
) -> None:
    directory = write_artifact(tmp_path / "artifacts", CLASSIFIER)
    sent(tmp_path / "artifacts", gate, "killed")
    environ = settings(gate, tmp_path, "killed", WORKERS="2")
    size = (directory / "manifest.json").stat().st_size
    gate.cut_after, gate.stall = [size + 1, 100], threading.Event()
    with serving(until="pulling", **environ) as server:
        url = server.url
        while gate.cut_after or not list((tmp_path / "cache").rglob("*.part")):
            time.sleep(0.01)
        assert httpx.get(f"{url}/health/live", timeout=60).status_code == 200
        ready = httpx.get(f"{url}/health/ready", timeout=60)
        assert (ready.status_code, ready.json()["reason"]) == (
            503,
            "the artifacts are being pulled",
        )
        busy = httpx.post(f"{url}/api/predict", content=solid(1, 2, 3), timeout=60)
        assert (busy.status_code, busy.headers["retry-after"]) == (503, "5")
        server.process.kill()
    gate.stall.set()
    gate.stall = None
    gate.requests.clear()
    with serving(**environ) as server:
        assert version_at(server.url) == "1"
    assert [line.rstrip() for line in server.lines if "pulled" in line]
    # once for both workers, and from the byte on that had arrived
    ranges = [headers.get("Range") for headers in gate.of("GET", "/blobs/sha256:")]
    assert ranges == ["bytes=100-", None]
    assert len(gate.of("GET", "/manifests/")) == 1
    gate.registry_port = free_port()
    with serving(**{**environ, "WORKERS": "1"}) as server:
        assert version_at(server.url) == "1"
    assert any("is not reached" in line and "; serving sha256:" in line for line in server.lines)


def test_a_tampered_blob_is_not_served(
    tmp_path: Path, gate: Gate, running_registry: DockerRegistry
) -> None:
    directory = write_artifact(tmp_path / "artifacts", CLASSIFIER, data=steeper(7))
    reference = sent(tmp_path / "artifacts", gate, "tampered")
    sha256 = hashlib.sha256((directory / "float.onnx").read_bytes()).hexdigest()
    blob = running_registry.blob(sha256)
    data = blob.read_bytes()
    environ = settings(gate, tmp_path, "tampered", SLIPWAY_ARTIFACTS=str(reference))
    blob.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    process = start("--port", "0", **environ)
    _, log = process.communicate(timeout=START_S)
    assert process.returncode == 1
    assert re.search(rf"float.onnx that arrived has sha256 .* says {sha256}", log)
    blob.write_bytes(data)
    with serving(**environ) as server:  # by digest
        assert version_at(server.url) == "1"


def test_a_signal_ends_a_pull_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never answers
        reference = f"oci://127.0.0.1:{silent.getsockname()[1]}/zoo"
        environ = {
            "SLIPWAY_ARTIFACTS": reference,
            "SLIPWAY_PULL_CACHE": str(tmp_path / "cache"),
            "DOCKER_CONFIG": str(tmp_path),
        }
        with serving(until="pulling", **environ) as server:
            begin_s = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(20) == 0  # a read of the registry may take 30 s
            assert time.monotonic() - begin_s < 20


def test_check_pulls_too(tmp_path: Path, gate: Gate, capsys: pytest.CaptureFixture[str]) -> None:
    write_artifact(tmp_path / "artifacts", EMBEDDING)
    digest = sent(tmp_path / "artifacts", gate, "check").digest
    environ = {**settings(gate, tmp_path, "check"), "PORT": "0"}
    assert check(from_environment(environ)) == 0
    assert f"pulled oci://{gate.host}/check@{digest}" in capsys.readouterr().out

"""`python -m serve` as a process of its own, with curl as its client."""

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

from serve.http.listener import listen
from tests.support.artifacts import CLASSIFIER, EMBEDDING, edit_manifest, write_artifact
from tests.support.images import half_white, png, solid
from tests.support.server_process import PROJECT, Server, peak_mib, serving, start

CURL = shutil.which("curl")


def refused(lines: int, *arguments: str, **environ: str) -> str:
    """Return the lines of a server that does not start."""
    process = start(*arguments, **environ)
    _, message = process.communicate(timeout=60)
    assert process.returncode == 1
    assert message.count("\n") == lines, message
    return message


@pytest.fixture(scope="module")
def server(artifacts: Path) -> Iterator[Server]:
    with serving("--artifacts", str(artifacts)) as server:
        yield server


def curl(*arguments: str) -> tuple[int, str, bytes]:
    """Return status, Content-Type and body of a request by curl."""
    if CURL is None:
        pytest.skip("curl is not installed")
    mark = "\n%{http_code} %{content_type}"
    done = subprocess.run(
        [CURL, "-sS", "-m", "20", "-w", mark, *arguments], check=True, capture_output=True
    )
    body, _, last = done.stdout.rpartition(b"\n")
    status, _, content_type = last.decode().partition(" ")
    return int(status), content_type, body


@pytest.mark.parametrize(
    "path",
    [
        "/health",
        "/v1/models",
        "/v1/models/background_u2netp",
        "/v2",
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/background_u2netp",
        "/v2/models/background_u2netp/ready",
    ],
)
def test_curl_gets(server: Server, path: str) -> None:
    status, content_type, body = curl(server.url + path)
    assert (status, content_type) == (200, "application/json")
    assert json.loads(body)


@pytest.mark.parametrize(
    ("path", "count", "kind", "form"),
    [
        (path, count, kind, form)
        for path, count, kind in (
            ("/v1/models/image_embedding_mobilenetv2", 1, "application/json"),
            ("/v1/face-emotion", 1, "application/json"),
            ("/v1/similarity", 2, "application/json"),
            ("/v1/background", 1, "image/png"),
            ("/v1/background?color=%23ff0000&format=jpeg", 1, "image/jpeg"),
        )
        for form in ("multipart", "json", "raw")
        if form != "raw" or count == 1  # a raw body is one file
    ],
)
def test_curl_posts(
    server: Server, tmp_path: Path, path: str, count: int, kind: str, form: str
) -> None:
    names = ["image"] if count == 1 else ["image_a", "image_b"]
    image = png(half_white())
    (tmp_path / "photo.png").write_bytes(image)
    arguments = {
        "multipart": [f"-F{name}=@{tmp_path}/photo.png" for name in names],
        "raw": ["--data-binary", f"@{tmp_path}/body"],
        "json": ["-H", "Content-Type: application/json", "-d", f"@{tmp_path}/body"],
    }[form]
    if form == "json":
        encoded = base64.b64encode(image).decode()
        (tmp_path / "body").write_text(json.dumps(dict.fromkeys(names, encoded)))
    else:
        (tmp_path / "body").write_bytes(image)
    status, content_type, body = curl(*arguments, server.url + path)
    assert (status, content_type) == (200, kind), body
    assert body


def test_curl_uploads_ten_megabytes_with_expect(server: Server, tmp_path: Path) -> None:
    image = solid(255, 255, 255)
    large = tmp_path / "large.png"
    large.write_bytes(image + b"\0" * (10 * 1024 * 1024 - len(image)))
    post = ["-H", "Expect: 100-continue", "--data-binary", f"@{large}"]
    status, _, body = curl(*post, f"{server.url}/v1/face-emotion")
    assert (status, json.loads(body)["result"]["label"]) == (200, "bright")
    large.write_bytes(image + b"\0" * (11 * 1024 * 1024))
    status, content_type, body = curl(*post, f"{server.url}/v1/face-emotion")
    assert (status, content_type) == (413, "application/json")
    assert "allowed: 10485760 bytes" in json.loads(body)["error"]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize(
    ("path", "body", "kind", "status", "limit_mib"),
    [
        # twice 14 MB of objects that would take 350 MB each; measured: 52 MiB
        ("/v1/face-emotion", b'{"image":[' + b"{}," * 4_600_000 + b"{}]}", "json", 413, 120),
        # twice 16 million pixels; a float mask would add 64 MB; measured: 188 MiB
        ("/v1/models/background_u2netp", solid(9, 9, 9, height=4000, width=4000), "x", 200, 225),
    ],
)
def test_two_hostile_requests_take_little_memory(
    artifacts: Path, path: str, body: bytes, kind: str, status: int, limit_mib: int
) -> None:
    with serving("--artifacts", str(artifacts)) as server, ThreadPoolExecutor(2) as clients:
        before = peak_mib(server.process)
        headers = {"Content-Type": f"application/{kind}"}
        jobs = [
            clients.submit(httpx.post, server.url + path, content=body, headers=headers, timeout=60)
            for _ in range(2)
        ]
        assert [job.result().status_code for job in jobs] == [status, status]
        assert peak_mib(server.process) - before < limit_mib


def test_telemetry_is_off_before_onnxruntime_is_imported() -> None:
    code = (
        "import sys, importlib.abc, os\n"
        "class Watch(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'onnxruntime': print(os.environ.get('ORT_DISABLE_TELEMETRY'))\n"
        "sys.meta_path.insert(0, Watch())\n"
        "import serve.__main__\n"
        "import serve.lifecycle.command\n"
    )
    environ = {name: value for name, value in os.environ.items() if "TELEMETRY" not in name}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        env=environ,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "1\n"


def test_without_a_servable_model_the_server_ends_and_says_why(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    message = refused(1, "--artifacts", str(empty))
    assert "holds no model; make them: python -m convert run" in message
    seeded = tmp_path / "seeded"
    write_artifact(seeded, CLASSIFIER, origin="seeded")
    message = refused(2, "--artifacts", str(seeded))
    assert "SLIPWAY_ALLOW_SEEDED=1" in message
    assert message.endswith("serve: no model can be served; the lines above say why\n")
    with serving("--artifacts", str(seeded), SLIPWAY_ALLOW_SEEDED="1") as server:
        assert httpx.get(f"{server.url}/health", timeout=60).status_code == 200
    broken = tmp_path / "broken"
    edit_manifest(write_artifact(broken, CLASSIFIER), {"schema_version": 2})
    assert "manifest.json.schema_version is 2" in refused(2, "--artifacts", str(broken))


def test_bad_settings_stop_the_server_with_a_line_each(artifacts: Path, tmp_path: Path) -> None:
    first, second, third = refused(
        3, "--port", "x", MAX_UPLOAD_SIZE="10M", SLIPWAY_QEUE="1"
    ).splitlines()
    assert first == "serve: SLIPWAY_QEUE is no setting; the nearest is SLIPWAY_QUEUE; it is ignored"
    assert second == "serve: PORT is 'x'; allowed: an integer, 0 to 65535"
    assert third.startswith("serve: MAX_UPLOAD_SIZE is '10M'")
    write_artifact(tmp_path, EMBEDDING)
    other = "image_embedding_mobilenetv2"
    message = refused(1, "--artifacts", str(tmp_path), SLIPWAY_BACKGROUND_MODEL=other)
    assert f"SLIPWAY_BACKGROUND_MODEL is {other!r}" in message
    with listen("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        message = refused(1, "--artifacts", str(artifacts), "--port", port)
    assert message.startswith(f"serve: cannot listen on 127.0.0.1, port {port}: Address already in")


def test_the_host_of_all_addresses_serves_both_families(artifacts: Path) -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("this system has no IPv6")
    with listen("::", 0) as listener:
        port = listener.getsockname()[1]
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, port), timeout=5).close()


def test_damaged_files_write_nothing_to_the_log(artifacts: Path) -> None:
    picture = bytearray(png(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)))
    start = picture.index(b"IDAT") + 4
    damaged = [bytes(picture)]
    for place in range(start, start + 400, 40):
        broken = picture.copy()
        broken[place : place + 8] = bytes(255 - byte for byte in broken[place : place + 8])
        damaged.append(bytes(broken))
    with serving(SLIPWAY_ARTIFACTS=str(artifacts)) as server:
        statuses = [
            httpx.post(f"{server.url}/v1/face-emotion", content=data, timeout=60).status_code
            for data in damaged
        ]
        assert statuses[0] == 200
        assert 400 in statuses
        server.process.terminate()
        _, log = server.process.communicate(timeout=60)
    assert "libpng" not in log
    assert log.count("POST /v1/face-emotion 400") == statuses.count(400)  # Python still logs

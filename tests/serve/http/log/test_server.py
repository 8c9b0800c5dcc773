"""The log of a real server, whatever clients send and whoever reads it."""

import fcntl
import hashlib
import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from tests.support.images import solid
from tests.support.ports import free_port
from tests.support.server_process import PROJECT, serving

SECRET = "s3cret"
FACE, GAIT, INFER = "/v1/face-emotion", "/v1/gait", "/v2/models/face_emotion_xception/infer"
KEYLESS = 4  # answers, the last ones, to requests without a valid key
JOB_ANSWER = -1 - KEYLESS
JOB = {"Prefer": f"respond-async, {SECRET}={SECRET}", "Idempotency-Key": SECRET}
FORM_DATA = "multipart/form-data; boundary=x"  # whose parser would warn of its content


def wait_for(url: str) -> None:
    """Wait until a server answers."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            httpx.get(url, timeout=60)
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(url)


def plant(url: str) -> list[httpx.Response]:
    """Send the secret in every place of a request."""
    headers = {
        "X-Request-Id": f"{SECRET} {SECRET}",
        "Authorization": f"Bearer {SECRET}",
        "User-Agent": SECRET,
        "X-Forwarded-For": SECRET,
        "Referer": f"https://example.org/{SECRET}",
        "Cookie": SECRET,
    }
    image = solid(9, 9, 9)
    with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
        answers = [
            client.get(f"/{SECRET}"),
            client.get(f"/v1/models/{SECRET}"),
            client.post(f"/v1/models/{SECRET}", content=image),
            client.get(f"/v2/models/face_emotion_xception/versions/{SECRET}"),
            client.request("PUT", f"{FACE}?{SECRET}=1"),
            client.post(f"{FACE}?tta={SECRET}", content=image),
            client.post(FACE, files={SECRET: (f"{SECRET}.jpg", image, f"image/{SECRET}")}),
            client.post(FACE, files={"image": (f"{SECRET}.png", image)}),
            client.post(FACE, files={"image": image}, data={"weights": SECRET}),
            client.post(FACE, json={"image": SECRET, SECRET: SECRET}),
            client.post(FACE, content=SECRET, headers={"Content-Type": f"multipart/{SECRET}"}),
            client.post(FACE, content=SECRET, headers={"Content-Encoding": SECRET}),
            client.post(FACE, content=SECRET, headers={"Content-Type": FORM_DATA}),
            client.post(GAIT, files={"video": SECRET.encode()}, data={"condition": SECRET}),
            client.post("/v1/models/clinical_text_minilm", content=SECRET),
            client.post(INFER, json={"id": SECRET, "inputs": [{"name": SECRET}]}),
            client.post(INFER, content=SECRET, headers={"Inference-Header-Content-Length": SECRET}),
            client.get("/health", headers={"traceparent": SECRET, "tracestate": f"a={SECRET}"}),
            client.post(FACE, content=image, headers={"X-Request-Timeout": SECRET}),
            client.post(FACE, content=image, headers={"X-API-Key": SECRET, "Origin": SECRET}),
            client.post(f"/v2/repository/models/{SECRET}/load", json={SECRET: SECRET}),
            client.get(f"/v1/jobs/{SECRET}"),
            client.post(f"{FACE}?tta={SECRET}", content=image, headers={"Prefer": JOB["Prefer"]}),
            client.post(FACE, files={"image": (SECRET, image)}, headers=JOB),
        ]
    # without a valid API key
    with httpx.Client(base_url=url, headers={"Cookie": SECRET}, timeout=60) as client:
        answers += [
            client.post(FACE, content=image),
            client.post(FACE, content=image, headers={"X-API-Key": f"{SECRET}0"}),
            client.get("/v1/models", headers={"Authorization": f"Bearer {SECRET}0"}),
            client.get(f"/v1/jobs/{SECRET}", headers={"Authorization": f"Basic {SECRET}"}),
        ]
        assert [answer.status_code for answer in answers[-KEYLESS:]] == [401] * KEYLESS
    address = httpx.URL(url)
    for head in (f"{SECRET} / HTTP/1.1\r\n\r\n", f"GET /{quote(SECRET)} HTTP/9\r\n\r\n"):
        with socket.create_connection((address.host, address.port or 0), timeout=60) as raw:
            raw.sendall(head.encode())
            assert b"x-request-id: " in raw.recv(4096)
    return answers


@pytest.mark.parametrize("form", ["text", "json", "off"])
def test_no_query_header_option_file_name_payload_condition_or_key(
    artifacts: Path, tmp_path: Path, form: str
) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"{hashlib.sha256(SECRET.encode()).hexdigest()} app\n")
    with serving(
        *("--artifacts", str(artifacts)),
        SLIPWAY_LOG=form,
        SLIPWAY_API_KEYS_FILE=str(keys),
        SLIPWAY_ADMIN_KEY=f"{SECRET}-of-the-administrator",
    ) as server:
        answers = plant(server.url)
        server.process.send_signal(signal.SIGHUP)
        own = {"X-API-Key": SECRET}
        metrics = httpx.get(f"{server.url}/metrics", headers=own, timeout=60)
        assert metrics.status_code == 200
        assert SECRET not in metrics.text
        job = answers[JOB_ANSWER]
        assert job.status_code == 202
        assert (
            SECRET
            not in httpx.get(server.url + job.headers["location"], headers=own, timeout=60).text
        )
        server.process.send_signal(signal.SIGTERM)
        _, log = server.process.communicate(timeout=60)
    assert SECRET not in log
    assert "warning" not in log
    lines = [line for line in log.splitlines() if "request_id" in line or " id=" in line]
    if form == "off":
        assert not lines
        return
    assert len(lines) == len(answers) + 4  # /metrics, a job, and two that are no requests
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert all(any(one in line for line in lines) for one in ids)
    if form == "json":
        entries = [json.loads(line) for line in lines]
        assert [entry["status"] for entry in entries[: len(ids)]] == [
            a.status_code for a in answers
        ]
        assert entries[0]["route"] == "unknown"
        assert entries[1]["route"] == "/v1/models/{model}"


def test_a_log_that_nobody_reads_stops_neither_the_server_nor_its_end(artifacts: Path) -> None:
    with serving("--artifacts", str(artifacts)) as server:
        assert server.process.stderr is not None
        fcntl.fcntl(server.process.stderr.fileno(), fcntl.F_SETPIPE_SZ, 4096)
        with httpx.Client(base_url=server.url, timeout=60) as client:
            for _ in range(200):  # some 15 kB of lines
                assert client.get("/v2/health/live").status_code == 200
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(timeout=60)


def test_a_full_disk_does_not_stop_the_server(artifacts: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        port = free_port()
        process = subprocess.Popen(
            [sys.executable, "-m", "serve", "--artifacts", str(artifacts), "--port", str(port)],
            cwd=PROJECT,
            stderr=full,
        )
        try:
            url = f"http://127.0.0.1:{port}/v2/health/live"
            wait_for(url)
            assert all(httpx.get(url, timeout=60).status_code == 200 for _ in range(5))
        finally:
            process.terminate()
        assert process.wait(timeout=60) == 0


def test_warnings_of_each_write_to_a_client_that_left_are_no_lines() -> None:
    code = (
        "import logging; from serve.http.log.start import open_log; log = open_log('text');"
        "log_of = logging.getLogger('asyncio'); log_of.warning('socket.send() raised exception.');"
        "log_of.error('accept failed'); log.drain(5)"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert "accept failed" in process.stderr
    assert "socket.send()" not in process.stderr

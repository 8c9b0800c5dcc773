"""`serve.asgi:app` in an ASGI server that is not ours: uvicorn as its command line starts it."""

import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.support.artifacts import CLASSIFIER, write_artifact
from tests.support.images import solid
from tests.support.ports import free_port
from tests.support.server_process import PROJECT, environment

START_S = 60


def start(port: int, **environ: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "serve.asgi:app", "--port", str(port)],
        cwd=PROJECT,
        env=environment(**environ),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )


def test_another_asgi_server_serves_the_application_and_says_what_is_missing(
    tmp_path: Path,
) -> None:
    write_artifact(tmp_path, CLASSIFIER)
    port = free_port()
    process = start(port, SLIPWAY_ARTIFACTS=str(tmp_path))
    try:
        url = f"http://127.0.0.1:{port}"
        end = time.monotonic() + START_S
        while not is_ready(url):
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        answer = httpx.post(
            f"{url}/v1/face-emotion", content=solid(255, 255, 255), timeout=60
        ).json()
        assert answer["result"]["label"] == "bright"
        process.terminate()
        _, log = process.communicate(timeout=60)
    finally:
        process.kill()
    assert "python -m serve has its own" in log
    assert "Application shutdown complete" in log


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/v2/health/ready", timeout=60).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"SLIPWAY_QUEUE": "x"}, "SLIPWAY_QUEUE is 'x'"),
        ({"SLIPWAY_ARTIFACTS": "/no/such"}, "/no/such cannot be read"),
    ],
)
def test_bad_settings_end_it(environ: dict[str, str], message: str) -> None:
    process = start(free_port(), **environ)
    _, log = process.communicate(timeout=60)
    assert process.returncode != 0
    assert message in log

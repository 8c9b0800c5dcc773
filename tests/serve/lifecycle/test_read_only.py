"""The server works where it can write nothing: a read-only root, no /tmp, no /dev/shm."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.runtime.support.recordings import shades, sound, tone, video
from tests.support.artifacts import CLASSIFIER, GAIT, VOICE, write_artifact
from tests.support.images import solid
from tests.support.ports import free_port
from tests.support.server_process import PROJECT, environment

# the checkout and the artifacts, which may lie in /tmp, are seen at two other places
CHECKOUT, ARTIFACTS = Path("/mnt"), Path("/media")
SCRIPT = f"""
set -e
mount --make-rprivate /
mount --bind "$1" {CHECKOUT}
mount --bind "$2" {ARTIFACTS}
mount -t tmpfs -o ro none /dev/shm
mount -t tmpfs -o ro none /tmp
for place in / {CHECKOUT} {ARTIFACTS}; do mount -o remount,bind,ro "$place"; done
for place in / /tmp /dev/shm /var/tmp {CHECKOUT}; do
    if touch "$place/written" 2> /dev/null; then echo "$place is writable"; exit 3; fi
done
shift 2
cd {CHECKOUT}
exec "$@"
"""


def in_read_only(artifacts: Path, *command: str) -> list[str]:
    """Return the command that runs another where nothing can be written."""
    return ["unshare", "-m", "sh", "-c", SCRIPT, "sh", str(PROJECT), str(artifacts), *command]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    artifacts = tmp_path_factory.mktemp("artifacts")
    for graph in (CLASSIFIER, VOICE, GAIT):
        write_artifact(artifacts, graph)
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("needs root and unshare to make the root file system read-only")
    probe = subprocess.run(
        in_read_only(artifacts, "true"), check=False, capture_output=True, text=True
    )
    if probe.returncode:
        pytest.skip(f"no read-only root can be made here: {probe.stderr or probe.stdout}")
    port = free_port()
    python = Path(sys.executable)
    if python.is_relative_to(PROJECT):
        python = CHECKOUT / python.relative_to(PROJECT)
    server = (str(python), "-m", "serve", "--artifacts", str(ARTIFACTS), "--port", str(port))
    process = subprocess.Popen(
        in_read_only(artifacts, *server), env=environment(), stderr=subprocess.PIPE, text=True
    )
    try:
        yield wait_until_ready(process, f"http://127.0.0.1:{port}")
        process.terminate()
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        process.communicate()


def wait_until_ready(process: subprocess.Popen[str], url: str) -> str:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if process.poll() is not None:
            pytest.fail(process.communicate()[1])
        try:
            if httpx.get(f"{url}/v2/health/ready", timeout=60).status_code == 200:
                return url
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    pytest.fail("the server was not ready in 30 s")


def test_an_image_a_sound_and_a_clip_are_answered(
    url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    clip = video(shades([255] * 31), tmp_path_factory.mktemp("clip"), fps=10)
    flac = sound(tone(), kind="FLAC", subtype="PCM_16")  # decoded in a worker process
    for path, data in (
        ("/v1/face-emotion", solid(255, 255, 255)),
        ("/v1/voice-emotion", flac),
        ("/v1/gait", clip),
    ):
        response = httpx.post(url + path, content=data, timeout=60)
        assert response.status_code == 200, response.text
        assert response.json()["result"]["label"]

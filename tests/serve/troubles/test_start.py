"""Starts: bad directories, no place to write, settings, and how soon the server listens."""

import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.serve.troubles.conftest import Starter
from tests.serve.troubles.support import server as servers
from tests.serve.troubles.support.growth import PICTURE
from tests.serve.troubles.support.media import clip, flac
from tests.serve.troubles.support.scale import Scale
from tests.serve.troubles.support.table import Figures
from tests.serve.troubles.support.wire import LIVE, ask, get, post
from tests.support.artifacts import CLASSIFIER, EMBEDDING, write_artifact
from tests.support.ports import free_port

ROUTE = "/v1/models/face_emotion_xception"
LISTENING_S = 0.6
READ_ONLY = (
    "unshare", "--mount", "/bin/sh", "-c",
    # a place that stays writable would make the test prove nothing
    'mount -o remount,bind,ro / || exit 9; for place in /tmp /var/tmp "$PWD"; do'
    ' mount -o remount,bind,ro "$place" 2>/dev/null;'
    ' touch "$place/slipway-$$" 2>/dev/null && exit 9; done; exec "$@"',
    "sh",
)  # fmt: skip


def status(port: int, path: str) -> int | None:
    """Return the status of a GET; None without an answer."""
    answer = get(port, path)
    return None if answer is None else answer.status


def test_listening_soon(start: Starter, scale: Scale, figures: Figures, tiny: Path) -> None:
    times, first_ready = [], []
    for _ in range(5 if scale.soak else 3):
        port = free_port()
        begin = time.monotonic()
        process = subprocess.Popen(
            servers.command(tiny, port), cwd=start.checkout, env=servers.environment({}),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            while time.monotonic() < begin + 30:
                try:
                    live, ready = status(port, LIVE), status(port, "/v2/health/ready")
                except OSError:
                    time.sleep(0.005)
                    continue
                times.append(time.monotonic() - begin)
                first_ready.append((live, ready))
                break
        finally:
            process.kill()
            process.wait()
    figures.at_most("live 200 after", statistics.median(times or [30]), LISTENING_S, "s")
    answers = {(200, 503), (200, 200)}
    figures.equal("live, ready while it loads", set(first_ready) <= answers, True)


def test_bad_directories_cost_themselves_alone(
    start: Starter, figures: Figures, tmp_path: Path
) -> None:
    root = tmp_path / "artifacts"
    write_artifact(root, CLASSIFIER)
    (root / "lost+found").mkdir(mode=0)
    (root / "face_emotion_xception" / "lost+found").mkdir(mode=0)
    corrupt = write_artifact(root, CLASSIFIER, version=2)
    (corrupt / "float.onnx").write_bytes(b"nothing")
    write_artifact(root, EMBEDDING)
    (root / "image_embedding_mobilenetv2" / "2").mkdir()
    no_manifest = root / "tiny_broken" / "1"
    no_manifest.mkdir(parents=True)
    (no_manifest / "manifest.json").write_text("{", encoding="utf-8")
    server = start(root, ready=LIVE)
    end = time.monotonic() + 10
    while status(server.port, "/v2/models/face_emotion_xception/ready") != 200:
        if time.monotonic() > end:
            break
        time.sleep(0.05)
    answer = ask(server.port, post(ROUTE, PICTURE))
    assert answer is not None
    figures.equal("status", answer.status, 200)
    figures.equal("the version before serves", answer.json().get("version"), 1)
    ready = get(server.port, "/v2/models/face_emotion_xception/ready")
    assert ready is not None
    figures.equal("readiness of the model", ready.status, 200)
    figures.equal("and it says so", "2" in ready.body.decode(), True)
    other = ask(server.port, post("/v1/models/image_embedding_mobilenetv2", PICTURE))
    figures.equal("another model", other and other.status, 200)
    figures.one_of("the broken model", status(server.port, "/v1/models/tiny_broken"), (404, 503))


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and unshare"
)
def test_no_place_to_write(start: Starter, figures: Figures, tmp_path: Path) -> None:
    mounted = subprocess.run([*READ_ONLY, "true"], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("the root cannot be mounted read-only here")
    server = start(prefix=READ_ONLY)
    for name, request in (
        ("picture", post(ROUTE, PICTURE)),
        ("cut-out", post("/v1/background", PICTURE)),
        ("clip", post("/v1/gait", clip(tmp_path))),
        ("sound", post("/v1/voice-emotion", flac())),
    ):
        answer = ask(server.port, request)
        figures.equal(name, answer and answer.status, 200)


def run(start: Starter, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m serve` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "serve", *arguments],
        cwd=start.checkout, env=servers.environment(settings), capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip


def test_all_settings_errors_at_once(start: Starter, figures: Figures, tiny: Path) -> None:
    names = ("PORT", "TIMEOUT", "MAX_UPLOAD_SIZE", "SLIPWAY_MAX_FILES", "CORS_ORIGINS")
    done = run(start, SLIPWAY_ARTIFACTS=str(tiny), **dict.fromkeys(names, "nonsense"))
    figures.equal("exit code", done.returncode, 1)
    figures.equal("named", [name for name in names if name in done.stderr], list(names))
    figures.equal("traceback", "Traceback" in done.stderr, False)


def test_check(start: Starter, figures: Figures, tiny: Path, tmp_path: Path) -> None:
    figures.equal("good", run(start, "--check", "--artifacts", str(tiny)).returncode, 0)
    figures.equal("no models", run(start, "--check", "--artifacts", str(tmp_path)).returncode, 1)
    bad = run(start, "--check", "--artifacts", str(tiny), TIMEOUT="nonsense")
    figures.equal("bad setting", bad.returncode, 1)


def test_another_asgi_server(start: Starter, figures: Figures, tiny: Path, tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "asgi.log"
    with open(log, "wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "serve.asgi:app", "--port", str(port)],
            cwd=start.checkout, env=servers.environment({"SLIPWAY_ARTIFACTS": str(tiny)}),
            stdout=stream, stderr=stream,
        )  # fmt: skip
    try:
        end, answer = time.monotonic() + 30, None
        while time.monotonic() < end and process.poll() is None:
            try:
                answer = ask(port, post(ROUTE, PICTURE))
            except OSError:
                answer = None
            if answer is not None and answer.status == 200:
                break
            time.sleep(0.05)
        figures.equal("status", answer and answer.status, 200)
    finally:
        process.kill()
        process.wait()


def test_aliases(start: Starter, figures: Figures, tmp_path: Path) -> None:
    server = start()
    for path, body in (
        ("/api/predict", PICTURE),
        ("/predict", clip(tmp_path)),
        ("/api/remove-background", PICTURE),
    ):
        answer = ask(server.port, post(path, body))
        figures.equal(path, answer and answer.status, 200)

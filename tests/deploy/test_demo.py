"""Run deploy.demo as a process, and check the curl lines that it prints."""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.check import ROUTES
from deploy.demo import OWNERS, Samples, curl_lines, write_samples
from runtime.errors import ArtifactError
from serve.repository.task_models import task_models
from serve.settings import Settings
from tests.runtime.support.recordings import shades, sound, tone, video
from tests.support.artifacts import (
    CLASSIFIER,
    EMBEDDING,
    GAIT,
    SLOW,
    TEXT,
    VOICE,
    add_samples,
    write_artifact,
)
from tests.support.images import half_white, png, solid
from tests.support.ports import free_port
from tests.support.server_process import serving

PROJECT = Path(__file__).parents[2]
FACES, PAIRS, MASKS = "face_emotion_xception", "image_embedding_mobilenetv2", "background_u2netp"
MEDIA = (png(half_white()), solid(10, 200, 30, height=40, width=40))
URL = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("served")
    for graph in (CLASSIFIER, EMBEDDING):
        add_samples(write_artifact(root, graph), *MEDIA)
    return root


@contextmanager
def demo(*arguments: str, port: int | str) -> Iterator[subprocess.Popen[str]]:
    """Run deploy.demo until the block ends, without the settings of this environment."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SLIPWAY_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "deploy.demo", *arguments],
        cwd=PROJECT,
        env={**environ, "PORT": str(port)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=40)


def outcome(*arguments: str, port: int | str) -> tuple[int, str, str]:
    """Return exit code, standard output and error of a demo that ends without a signal."""
    with demo(*arguments, port=port) as process:
        out, error = process.communicate(timeout=60)
        return process.returncode, out, error


def is_open(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_owners_of_the_task_routes_are_those_of_the_server() -> None:
    served = {a.task: (a.variable, a.model) for a in task_models(Settings())}
    assert {task: served[task] for task in ROUTES} == OWNERS


def test_check_passes_on_its_own_server_and_ends_it(served: Path) -> None:
    port = free_port()
    code, out, _ = outcome("--check", "--artifacts", str(served), port=port)
    last = re.search(r"^(\d+) of (\d+) as verified at conversion$", out, re.MULTILINE)
    assert code == 0
    assert last is not None
    assert last[1] == last[2]
    assert not is_open(port)


def test_a_port_of_another_server_is_refused(served: Path) -> None:
    with serving("--artifacts", str(served)) as other:
        port = int(other.url.rpartition(":")[2])
        code, out, error = outcome("--check", "--artifacts", str(served), port=port)
        assert (code, out) == (1, "")
        assert error.startswith(f"demo: cannot listen on 127.0.0.1, port {port}: ")
        assert error.count("\n") == 1
        assert other.process.poll() is None


@pytest.mark.parametrize("port", ["0", "65536", "eight"])
def test_an_invalid_port_is_refused(served: Path, port: str) -> None:
    code, _, error = outcome("--check", "--artifacts", str(served), port=port)
    assert code == 1
    assert error == f"demo: PORT is {port!r}; allowed: 1 to 65535\n"


def test_invalid_artifacts_end_the_demo(tmp_path: Path) -> None:
    code, _, error = outcome("--check", "--artifacts", str(tmp_path), port=free_port())
    assert code == 1
    assert "demo: the server did not come up on" in error
    assert "Traceback" not in error


def test_sigterm_ends_the_server_too(served: Path, tmp_path: Path) -> None:
    port = free_port()
    arguments = ("--artifacts", str(served), "--samples", str(tmp_path))
    with demo(*arguments, port=port) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "/v1/models" in line:
                break
        assert is_open(port)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=40)  # standard error closes only when the server has ended
        assert process.returncode == 128 + signal.SIGTERM
    assert not is_open(port)


def test_the_lines_name_the_models_and_files(tmp_path: Path) -> None:
    artifacts, samples = tmp_path / "artifacts", tmp_path / "some samples"
    for graph in (CLASSIFIER, SLOW):
        add_samples(write_artifact(artifacts, graph), solid(2, 2, 2))
    lines = curl_lines(URL, write_samples(artifacts, samples))
    assert [line.split()[-1] for line in lines] == [
        f"{URL}/v1/models",
        f"{URL}/v1/face-emotion",
        f"{URL}/v1/models/tiny_slow",
    ]
    files = [
        word.partition("=@")[2] for line in lines for word in shlex.split(line) if "=@" in word
    ]
    assert [Path(name).read_bytes() for name in files] == [solid(2, 2, 2)] * 2


def test_lines_of_sounds_clips_and_texts(tmp_path: Path) -> None:
    artifacts, samples = tmp_path / "artifacts", tmp_path / "samples"
    clip = video(shades([9] * 9), tmp_path, kind="avi", codec="MJPG")
    for graph, media in ((VOICE, sound(tone())), (GAIT, clip), (TEXT, b"walk")):
        add_samples(write_artifact(artifacts, graph), media)
    assert curl_lines(URL, write_samples(artifacts, samples)) == [
        f"curl {URL}/v1/models",
        f"curl -F text=@{samples}/clinical_text_minilm-0.txt {URL}/v1/models/clinical_text_minilm",
        f"curl -F video=@{samples}/gait_student-0.avi {URL}/v1/gait",
        f"curl -F audio=@{samples}/voice_emotion_wav2vec2-0.wav {URL}/v1/voice-emotion",
    ]
    assert (samples / "gait_student-0.avi").read_bytes() == clip


def test_lines_of_the_three_models_of_make_demo() -> None:
    sampled = [
        Samples(MASKS, "image-segmentation", (Path("m.png"),)),
        Samples(FACES, "image-classification", (Path("f.png"), Path("g.png"))),
        Samples(PAIRS, "image-feature-extraction", (Path("a.png"), Path("b.png"))),
    ]
    assert curl_lines(URL, sampled) == [
        f"curl {URL}/v1/models",
        f"curl -F image=@m.png -o cut-out.png {URL}/v1/background",
        f"curl -F image=@m.png -o on-blue.png '{URL}/v1/background?color=%233366ff'",
        f"curl -F image=@f.png {URL}/v1/face-emotion",
        f"curl -F image_a=@a.png -F image_b=@b.png {URL}/v1/similarity",
    ]


def test_a_single_picture_is_compared_with_itself() -> None:
    line = curl_lines(URL, [Samples(PAIRS, "image-feature-extraction", (Path("a.png"),))])[1]
    assert line == f"curl -F image_a=@a.png -F image_b=@a.png {URL}/v1/similarity"


def test_a_model_without_a_task_route_has_a_line_of_its_own() -> None:
    line = curl_lines(URL, [Samples("finder", "object-detection", (Path("f.png"),))])[1]
    assert line == f"curl -F image=@f.png {URL}/v1/models/finder"


def test_a_model_without_samples_has_no_line() -> None:
    assert curl_lines(URL, [Samples(FACES, "image-classification", ())]) == [
        f"curl {URL}/v1/models"
    ]


def test_the_task_route_belongs_to_the_model_that_the_environment_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SLIPWAY_FACE_EMOTION_MODEL", "other")
    sampled = [
        Samples(model, "image-classification", (Path("f.png"),)) for model in (FACES, "other")
    ]
    assert [line.rpartition("/v1/")[2] for line in curl_lines(URL, sampled)[1:]] == [
        f"models/{FACES}",
        "face-emotion",
    ]


def test_samples_of_another_hash_are_not_written(tmp_path: Path) -> None:
    artifacts = tmp_path / "artifacts"
    directory = write_artifact(artifacts, CLASSIFIER)
    with (directory / "golden.npz").open("ab") as stream:
        stream.write(b"\0")
    with pytest.raises(ArtifactError, match=r"golden\.npz has \d+ bytes"):
        write_samples(artifacts, tmp_path / "samples")

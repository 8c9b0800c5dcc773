"""Run deploy.demo as a process, and check the curl lines that it prints."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from deploy.check import ROUTES
from deploy.client import Reply
from deploy.demo import write_samples
from deploy.tries import OWNERS, Samples, describe, tries
from runtime.artifact.manifest import Task
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


def curl_lines(models: Sequence[Samples], photos: Path = Path("no photos")) -> list[str]:
    return [attempt.curl_line(URL) for attempt in tries(models, photos)]


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
    lines = curl_lines(write_samples(artifacts, samples))
    assert [line.split()[-1] for line in lines] == [
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
    assert curl_lines(write_samples(artifacts, samples)) == [
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
    assert curl_lines(sampled) == [
        f"curl -F image=@m.png -o cut-out.png {URL}/v1/background",
        f"curl -F image=@m.png -o on-blue.png '{URL}/v1/background?color=%233366ff'",
        f"curl -F image=@f.png {URL}/v1/face-emotion",
        f"curl -F image_a=@a.png -F image_b=@b.png {URL}/v1/similarity",
    ]


def test_photos_are_preferred_where_all_of_a_request_are_there(tmp_path: Path) -> None:
    sampled = [
        Samples(FACES, "image-classification", (Path("f.png"),)),
        Samples(PAIRS, "image-feature-extraction", (Path("a.png"), Path("b.png"))),
    ]
    for name in ("face.png", "cat.png", "cat-small.png"):
        (tmp_path / name).touch()
    assert curl_lines(sampled, tmp_path) == [
        f"curl -F image=@{tmp_path}/face.png '{URL}/v1/face-emotion?crop=none'",
        f"curl -F image_a=@a.png -F image_b=@b.png {URL}/v1/similarity",
    ]
    (tmp_path / "coffee.png").touch()
    assert curl_lines(sampled, tmp_path)[1:] == [
        f"curl -F image_a=@{tmp_path}/cat.png -F image_b=@{tmp_path}/{other} {URL}/v1/similarity"
        for other in ("cat-small.png", "coffee.png")
    ]


def test_a_portrait_is_sent_where_a_detector_finds_the_face(tmp_path: Path) -> None:
    sampled = [
        Samples("finder", "object-detection", ()),
        Samples(FACES, "image-classification", (Path("f.png"),)),
    ]
    for name in ("face.png", "portrait.jpg"):
        (tmp_path / name).touch()
    assert curl_lines(sampled, tmp_path) == [
        f"curl -F image=@{tmp_path}/portrait.jpg {URL}/v1/models/finder",
        f"curl -F image=@{tmp_path}/face.png '{URL}/v1/face-emotion?crop=none'",
        f"curl -F image=@{tmp_path}/portrait.jpg {URL}/v1/face-emotion",
    ]


def test_a_single_picture_is_compared_with_itself() -> None:
    line = curl_lines([Samples(PAIRS, "image-feature-extraction", (Path("a.png"),))])[0]
    assert line == f"curl -F image_a=@a.png -F image_b=@a.png {URL}/v1/similarity"


def test_a_model_without_a_task_route_has_a_line_of_its_own() -> None:
    line = curl_lines([Samples("finder", "object-detection", (Path("f.png"),))])[0]
    assert line == f"curl -F image=@f.png {URL}/v1/models/finder"


def test_a_model_without_samples_has_no_line() -> None:
    assert curl_lines([Samples(FACES, "image-classification", ())]) == []


def test_the_task_route_belongs_to_the_model_that_the_environment_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SLIPWAY_FACE_EMOTION_MODEL", "other")
    sampled = [
        Samples(model, "image-classification", (Path("f.png"),)) for model in (FACES, "other")
    ]
    assert [line.rpartition("/v1/")[2] for line in curl_lines(sampled)] == [
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


# ---- answers in words


def reply(content: object, weights: str = "pretrained", status: int = 200) -> Reply:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return Reply(status, {"x-model-weights": weights}, body, 1.0)


@pytest.mark.parametrize(
    ("task", "result", "words"),
    [
        ("image-classification", {"label": "sad", "confidence": 0.871}, "sad 0.87"),
        ("video-classification", {"label": "ataxic", "confidence": 1}, "ataxic 1.00"),
        ("image-feature-extraction", {"cosine": 0.985}, "cosine 0.98: the same picture"),
        ("image-feature-extraction", {"cosine": 0.55}, "cosine 0.55: things alike"),
        ("image-feature-extraction", {"cosine": 0.15}, "cosine 0.15: different things"),
        ("sentence-similarity", {"dimensions": 384}, "an embedding of 384 numbers"),
        ("object-detection", {"detections": []}, "nothing found"),
        (
            "object-detection",
            {"detections": [{"label": "face", "score": 0.9, "box": {"x1": 1.4, "y1": 2}}] * 2},
            "2 found, the best: face 0.90 at x1=1 y1=2",
        ),
    ],
)
def test_answer_in_words(task: Task, result: object, words: str) -> None:
    assert describe(task, reply({"result": result})) == words
    loud = describe(task, reply({"result": result}, weights="seeded"))
    assert loud == f"SEEDED, untrained weights; the answer means NOTHING: {words}"


def test_cut_out_in_words() -> None:
    picture = np.zeros((20, 40, 4), np.uint8)
    picture[:5, :, 3] = 255
    content = cv2.imencode(".png", picture)[1].tobytes()
    assert describe("image-segmentation", reply(content)) == (
        "a picture of 40 x 20 px, 25% of it foreground"
    )
    assert describe("image-segmentation", reply(solid(2, 2, 2, height=6, width=8))) == (
        "a picture of 8 x 6 px"
    )


def test_errors_and_answers_of_another_form_in_words() -> None:
    error = reply({"error": "too large"}, status=413)
    assert describe("image-classification", error) == "status 413: too large"
    assert describe("image-classification", reply({"result": {}})) == "14 bytes"
    assert describe("image-segmentation", reply(b"no picture")) == "10 bytes"


def test_the_demo_prints_the_answer_below_each_line(tmp_path: Path) -> None:
    artifacts = tmp_path / "artifacts"
    add_samples(write_artifact(artifacts, CLASSIFIER, origin="seeded"), *MEDIA)
    add_samples(write_artifact(artifacts, EMBEDDING), *MEDIA)
    arguments = ("--artifacts", str(artifacts), "--samples", str(tmp_path / "samples"))
    lines = []
    with demo(*arguments, port=free_port()) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip().startswith(("curl", "->")):  # the server prints its log here too
                lines.append(line.strip())
            if "cosine" in line:
                break
    assert lines[-4].startswith("curl -F image=@")
    assert re.fullmatch(r"-> SEEDED, .* means NOTHING: \w+ \d\.\d\d", lines[-3])
    assert lines[-2].startswith("curl -F image_a=@")
    assert re.fullmatch(r"-> cosine -?\d\.\d\d: [a-z ]+", lines[-1])

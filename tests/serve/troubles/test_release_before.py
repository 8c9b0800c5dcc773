"""Artifacts and README lines of the release before, commit 1164329, on this server."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.serve.troubles.conftest import Starter
from tests.serve.troubles.support.media import clip, flac
from tests.serve.troubles.support.table import Figures
from tests.support.artifacts import DATA
from tests.support.images import half_white, png, solid

ARTIFACTS = DATA / "release_before"
CURL = shutil.which("curl")
# as the README of 1164329 has them; PORT stands for 8000, and samples/ is the working folder
LINES = (
    "-F image=@samples/face_emotion_xception-0.png http://127.0.0.1:PORT/v1/face-emotion",
    "-F image_a=@samples/image_embedding_mobilenetv2-0.png -F"
    " image_b=@samples/image_embedding_mobilenetv2-1.png http://127.0.0.1:PORT/v1/similarity",
    "-F image=@samples/background_u2netp-0.png -o cut-out.png http://127.0.0.1:PORT/v1/background",
    "-F image=@samples/background_u2netp-0.png -o on-blue.jpg"
    " http://127.0.0.1:PORT/v1/background?color=%233366ff&format=jpeg",
    "--data-binary @samples/face_emotion_xception-0.png"
    " http://127.0.0.1:PORT/v1/models/face_emotion_xception",
    "http://127.0.0.1:PORT/health",
    "http://127.0.0.1:PORT/v1/models",
    "http://127.0.0.1:PORT/v1/models/background_u2netp",
    "http://127.0.0.1:PORT/v2",
    "http://127.0.0.1:PORT/v2/health/live",
    "http://127.0.0.1:PORT/v2/health/ready",
    "http://127.0.0.1:PORT/v2/models/face_emotion_xception/ready",
    "http://127.0.0.1:PORT/v2/models/face_emotion_xception",
    "-F audio=@samples/voice.flac http://127.0.0.1:PORT/v1/voice-emotion",
    "-F video=@samples/walk.mp4 -F condition=stroke http://127.0.0.1:PORT/v1/gait",
    "-F video=@samples/walk.mp4 http://127.0.0.1:PORT/predict",
    "-F text=walks http://127.0.0.1:PORT/v1/models/clinical_text_minilm",
)
FIELDS = {  # of JSON answers, as the README of 1164329 shows them
    "face-emotion": (
        "label confidence probabilities face_found found_by faces_found faces models left_out tta"
    ),
    "similarity": "cosine score calibration",
    "voice-emotion": "label confidence probabilities silent duration_s windows",
    "gait": "predicted_class label confidence probabilities condition condition_read frames",
}


def curl(folder: Path, port: int, line: str) -> subprocess.CompletedProcess[bytes]:
    """Run one line of curl in a folder."""
    assert CURL is not None
    arguments = line.replace("PORT", str(port)).split(" ")
    return subprocess.run(
        [CURL, "-sS", "-m", "20", "--fail", *arguments], cwd=folder, capture_output=True
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the samples that the lines name."""
    samples = tmp_path / "samples"
    samples.mkdir()
    (samples / "face_emotion_xception-0.png").write_bytes(solid(250, 250, 250))
    (samples / "image_embedding_mobilenetv2-0.png").write_bytes(solid(250, 20, 30))
    (samples / "image_embedding_mobilenetv2-1.png").write_bytes(solid(20, 250, 30))
    (samples / "background_u2netp-0.png").write_bytes(png(half_white()))
    (samples / "voice.flac").write_bytes(flac())
    (samples / "walk.mp4").write_bytes(clip(tmp_path))
    return tmp_path


@pytest.mark.skipif(CURL is None, reason="curl is not installed")
def test_lines_of_the_readme(start: Starter, figures: Figures, folder: Path) -> None:
    server = start(ARTIFACTS)
    for line in LINES:
        done = curl(folder, server.port, line)
        figures.equal(line.replace("http://127.0.0.1:PORT", "")[-60:], done.returncode, 0)
        if "-o " in line or done.returncode != 0:
            continue
        content: dict[str, Any] = json.loads(done.stdout)
        task = line.rpartition("/v1/")[2]
        for name in FIELDS.get(task, "").split():
            figures.equal(f"{task}: {name}", name in content["result"], True)
    assert (folder / "cut-out.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "on-blue.jpg").read_bytes().startswith(b"\xff\xd8")


@pytest.mark.skipif(CURL is None, reason="curl is not installed")
def test_the_refusal_of_the_readme(start: Starter, figures: Figures) -> None:
    assert CURL is not None
    port = start(ARTIFACTS).port
    body = '{"inputs": [{"name": "image", "shape": [1, 2], "datatype": "UINT8", "data": [1, 2]}]}'
    url = f"http://127.0.0.1:{port}/v2/models/face_emotion_xception/infer"
    done = subprocess.run([CURL, "-sS", "-d", body, url], capture_output=True, check=True)
    sentence = "input 'image' has shape [1, 2]; allowed: [-1, 8, 8, 1], where -1 is any size"
    figures.equal("error", json.loads(done.stdout)["error"], sentence)

"""Artifacts and README lines of the release before, commit 1164329, on this server."""

import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from serve.settings import from_environment
from serve.settings.environment import unknown_variables
from tests.serve.troubles.conftest import Starter
from tests.serve.troubles.support.media import clip, flac
from tests.serve.troubles.support.table import Figures
from tests.support.artifacts import DATA
from tests.support.images import half_white, png, solid

ARTIFACTS = DATA / "release_before"
ANSWERS = ARTIFACTS / "answers.json"  # by line: of that commit's own server
A_FILE = "<a file>"  # in place of a picture
SENTENCES = (".note", ".error")  # they may be worded anew
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
    # as its API.md has them
    "-F image=@samples/face_emotion_xception-0.png -F tta=flip http://127.0.0.1:PORT/v1/face-emotion",
    "--data-binary @samples/face_emotion_xception-0.png"
    " http://127.0.0.1:PORT/v1/face-emotion?weights=face_emotion_xception:2",
    "-H Content-Type:application/json -d @samples/body.json http://127.0.0.1:PORT/v1/face-emotion",
    "-F image=@samples/face_emotion_xception-0.png -F image=@samples/broken.jpg"
    " http://127.0.0.1:PORT/v1/models/face_emotion_xception",
    "-F audio=@samples/voice.flac -F window_s=10 http://127.0.0.1:PORT/v1/voice-emotion",
    "-F image_a=@samples/image_embedding_mobilenetv2-0.png -F"
    " image_b=@samples/image_embedding_mobilenetv2-1.png -F"
    " image_b=@samples/image_embedding_mobilenetv2-0.png -F embeddings=true"
    " http://127.0.0.1:PORT/v1/similarity",
    "-F image=@samples/background_u2netp-0.png -F image=@samples/background_u2netp-0.png"
    " http://127.0.0.1:PORT/v1/background",
    "-F image=@samples/background_u2netp-0.png -o cut-out-2.png"
    " http://127.0.0.1:PORT/api/remove-background",
    "-F image=@samples/face_emotion_xception-0.png"
    " http://127.0.0.1:PORT/v1/models/face_detector_yunet",
    "-F image=@samples/background_u2netp-0.png http://127.0.0.1:PORT/v1/models/background_u2netp",
    "-F image=@samples/image_embedding_mobilenetv2-0.png"
    " http://127.0.0.1:PORT/v1/models/image_embedding_mobilenetv2",
    "-F audio=@samples/voice.flac http://127.0.0.1:PORT/v1/models/voice_emotion_wav2vec2",
    "-F video=@samples/walk.mp4 http://127.0.0.1:PORT/v1/models/gait_student",
    "http://127.0.0.1:PORT/v1/models/face_emotion_xception",
)
FIELDS = {  # of JSON answers, as the README of 1164329 shows them
    "face-emotion": (
        "label confidence probabilities face_found found_by faces_found faces models left_out tta"
    ),
    "similarity": "cosine score calibration",
    "voice-emotion": "label confidence probabilities silent duration_s windows",
    "gait": "predicted_class label confidence probabilities condition condition_read frames",
}


def changes(before: Any, after: Any, place: str) -> list[str]:
    """Return the places where an answer is not what it was; it may have more fields than before."""
    if isinstance(before, dict):
        missing = [f"{place}.{name} is gone" for name in before.keys() - after.keys()]
        common = before.keys() & after.keys()
        return missing + [
            line
            for name in common
            for line in changes(before[name], after[name], f"{place}.{name}")
        ]
    if isinstance(before, list):
        if len(after) < len(before):
            return [f"{place} has {len(after)} entries; before: {len(before)}"]
        pairs = enumerate(zip(before, after, strict=False))
        return [line for number, pair in pairs for line in changes(*pair, f"{place}[{number}]")]
    if place.endswith(SENTENCES) or before == A_FILE:
        is_same = type(before) is type(after)
    elif isinstance(before, float):
        is_same = after == pytest.approx(before, abs=1e-4)
    else:  # the version of a server is a text, that of a model a number
        is_same = after == before or (place == ".version" and isinstance(before, str))
    return [] if is_same else [f"{place} is {after!r}; before: {before!r}"]


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
    (samples / "broken.jpg").write_bytes(b"no picture")
    body = {"image": base64.b64encode(solid(250, 250, 250)).decode(), "tta": "flip"}
    (samples / "body.json").write_text(json.dumps(body))
    (samples / "voice.flac").write_bytes(flac())
    (samples / "walk.mp4").write_bytes(clip(tmp_path))
    return tmp_path


@pytest.mark.skipif(CURL is None, reason="curl is not installed")
def test_lines_of_the_readme(start: Starter, figures: Figures, folder: Path) -> None:
    server = start(ARTIFACTS)
    before = json.loads(ANSWERS.read_text(encoding="utf-8"))
    for line in LINES:
        done = curl(folder, server.port, line)
        figures.equal(line.replace("http://127.0.0.1:PORT", "")[-60:], done.returncode, 0)
        if "-o " in line or done.returncode != 0:
            continue
        content: dict[str, Any] = json.loads(done.stdout)
        short = line.replace("http://127.0.0.1:PORT", "")
        figures.equal(f"changes of {short[-50:]}", changes(before[short], content, ""), [])
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


def test_the_settings_of_that_readme_are_still_settings() -> None:
    values = {
        "SLIPWAY_HOST": "127.0.0.1", "SLIPWAY_ARTIFACTS": "artifacts", "PORT": "8000",
        "SLIPWAY_ALLOW_SEEDED": "1", "SLIPWAY_BACKGROUND_MAX_SIDE": "1024",
        "SLIPWAY_BACKGROUND_SIDE_LIMIT": "4096", "SLIPWAY_DECODE_TIMEOUT": "20",
        "SLIPWAY_FACE_DETECTOR_MODEL": "a", "SLIPWAY_FACE_EMOTION_MODEL": "a",
        "SLIPWAY_FACE_EMOTION_WEIGHTS": "a:0.4,b:0.6", "SLIPWAY_GAIT_MODEL": "a",
        "SLIPWAY_BACKGROUND_MODEL": "a", "SLIPWAY_SIMILARITY_MODEL": "a",
        "SLIPWAY_VOICE_EMOTION_MODEL": "a", "SLIPWAY_MAX_AUDIO_SECONDS": "300",
        "SLIPWAY_MAX_FILES": "16", "SLIPWAY_MAX_PIXELS": "16000000", "SLIPWAY_QUEUE": "64",
        "SLIPWAY_MAX_VIDEO_SECONDS": "60", "SLIPWAY_THREADS": "1", "TIMEOUT": "30",
        "MAX_UPLOAD_SIZE": "10485760", "CORS_ORIGINS": "*",
    }  # fmt: skip
    assert unknown_variables(values) == []
    settings = from_environment(values)
    assert (settings.max_files, settings.queue, settings.threads) == (16, 64, 1)
    assert dict(settings.face_emotion_weights) == {"a": 0.4, "b": 0.6}

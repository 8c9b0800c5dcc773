"""`python -m runtime run`."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from runtime.cli.main import main
from runtime.results import DEGENERATE, SILENT
from tests.runtime.support.recordings import shades, sound, tone, video
from tests.support.artifacts import (
    CLASSIFIER,
    DETECTOR,
    GAIT,
    SEGMENTATION,
    TEXT,
    VOICE,
    write_artifact,
)


@pytest.fixture
def red_left(tmp_path: Path) -> Path:
    """Write an image of 32 x 16 px; the left quarter of its lower half is red."""
    image = np.zeros((16, 32, 3), np.uint8)
    image[8:, :8] = (0, 0, 255)  # BGR, as OpenCV writes it
    path = tmp_path / "red.png"
    assert cv2.imwrite(str(path), image)
    return path


def test_each_detection_has_a_line(
    tmp_path: Path, red_left: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artifact = write_artifact(tmp_path / "artifacts", DETECTOR)
    assert main(["run", str(artifact), str(red_left)]) == 0
    # on the canvas of half the size the middle row of the region is all red
    assert capsys.readouterr().out.splitlines() == [
        f"{red_left}: 1 found",
        "  red 1.0000 x1=0.0 y1=8.0 x2=8.0 y2=16.0",
    ]


def test_detections_as_json_are_on_one_line(
    tmp_path: Path, red_left: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artifact = write_artifact(tmp_path / "artifacts", DETECTOR)
    assert main(["run", str(artifact), str(red_left), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["model"] == "tiny_detector"
    box = {"x1": 0.0, "y1": 8.0, "x2": 8.0, "y2": 16.0}
    detection = {"label": "red", "score": 1.0, "box": box, "keypoints": [[4.0, 12.0]]}
    assert answer["result"] == {"detections": [detection]}


def test_a_refused_file_does_not_stop_the_others(
    tmp_path: Path, red_left: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artifact = write_artifact(tmp_path / "artifacts", CLASSIFIER)
    missing = tmp_path / "nowhere.png"
    assert main(["run", str(artifact), str(missing), str(red_left)]) == 1
    captured = capsys.readouterr()
    assert captured.err == f"runtime: {missing}: No such file or directory\n"
    assert captured.out.startswith(f"{red_left}: label dark, confidence 0.")


def test_a_directory_without_a_version_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(tmp_path), "x.png"]) == 1
    assert "holds no complete version" in capsys.readouterr().err


def test_a_clip_takes_a_condition_and_synthetic_weights_print_a_caution(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artifact = write_artifact(tmp_path / "artifacts", GAIT, origin="synthetic")
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(video(shades([0] * 5), tmp_path))
    assert main(["run", str(artifact), str(clip), "--condition", "stroke"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith(f"{clip}: label bright, confidence 0.98")
    caution = "trained on synthetic data, not a medical device"
    assert captured.err == f"runtime: gait_student has synthetic weights: {caution}\n"
    assert main(["run", str(artifact), str(clip), "--condition", "gout"]) == 1
    assert f"{clip}: condition 'gout' is unknown; known: Isch" in capsys.readouterr().err


def test_a_text_file_is_embedded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    artifact = write_artifact(tmp_path / "artifacts", TEXT)
    text = tmp_path / "text.txt"
    text.write_text("slow walk", encoding="utf-8")
    assert main(["run", str(artifact), str(text), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["result"]["embedding"] == pytest.approx([0.99910, 0.04246], abs=1e-5)


def test_silence_adds_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    artifact = write_artifact(tmp_path / "artifacts", VOICE)
    quiet, voice = tmp_path / "quiet.wav", tmp_path / "voice.wav"
    quiet.write_bytes(sound(tone(level=0.0001)))  # -83 dBFS
    voice.write_bytes(sound(tone()))
    assert main(["run", str(artifact), str(quiet), str(voice), "--json"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["warnings"] for answer in answers] == [[SILENT], []]
    assert main(["run", str(artifact), str(quiet)]) == 0
    assert capsys.readouterr().err == f"runtime: {quiet}: warning: {SILENT}\n"


def test_a_nearly_constant_mask_adds_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artifact = write_artifact(tmp_path / "artifacts", SEGMENTATION)
    plain = tmp_path / "plain.png"
    assert cv2.imwrite(str(plain), np.full((16, 16, 3), 40, np.uint8))
    assert main(["run", str(artifact), str(plain), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["warnings"] == [DEGENERATE]


@pytest.mark.parametrize(
    ("graph", "media", "can_be_drawn"),
    [
        (VOICE, "sound", True),
        (GAIT, "clip", True),
        (TEXT, "text", False),
        (CLASSIFIER, "image", True),
    ],
)
def test_images_sounds_and_clips_can_be_drawn(
    artifacts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    graph: str, media: str, can_be_drawn: bool,
) -> None:  # fmt: skip
    path = tmp_path / "file"
    image = cv2.imencode(".png", np.zeros((50, 50, 3), np.uint8))[1].tobytes()
    content = {"sound": sound(tone()), "text": b"slow walk", "image": image}
    path.write_bytes(content[media] if media in content else video(shades([9] * 5), tmp_path))
    models = {
        VOICE: "voice_emotion_wav2vec2", GAIT: "gait_student", TEXT: "clinical_text_minilm",
        CLASSIFIER: "face_emotion_xception",
    }  # fmt: skip
    out = tmp_path / "drawing.png"
    arguments = ["run", str(artifacts / models[graph]), str(path), "--draw", str(out)]
    assert main(arguments) == (0 if can_be_drawn else 1)
    assert out.exists() == can_be_drawn
    assert ("this answer cannot be drawn" in capsys.readouterr().err) != can_be_drawn

"""Run the README's commands of the tasks with tiny models, and compare the form of their output.

The README's figures come from trained weights and real media, which are not in the repository.
"""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.runtime.support.recordings import shades, sound, tone, video
from tests.support.artifacts import (
    CLASSIFIER,
    DETECTOR,
    EMBEDDING,
    GAIT,
    SEGMENTATION,
    VOICE,
    write_artifact,
)

PROJECT = Path(__file__).parents[1]
BLOCK = re.compile(
    r"^```sh\n((?:\.venv/bin/python -m runtime .*\n)+)```\n```text\n(.*?)```$", re.M | re.S
)
README = (PROJECT / "README.md").read_text(encoding="utf-8")


def without_figures(line: str) -> str:
    """Return a line without its figures and the classes in front of them."""
    without_classes = re.sub(r"\b[a-z]+ (?=\d\.\d\d\b)", "CLASS ", line)
    return re.sub(r"\d+(\.\d+)?", "N", without_classes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for graph in (CLASSIFIER, EMBEDDING, SEGMENTATION, VOICE, GAIT, DETECTOR):
        write_artifact(tmp_path / "artifacts", graph)
    photo = np.zeros((400, 400, 3), np.uint8)
    photo[:200] = 150  # the foreground
    photo[100:200, 0:100] = photo[100:200, 200:300] = (0, 255, 0)  # faces to the tiny detector
    for name in ("photo.jpg", "a.jpg", "b.jpg"):
        assert cv2.imwrite(str(tmp_path / name), photo)
    (tmp_path / "voice.flac").write_bytes(sound(tone(seconds=11), kind="FLAC", subtype="PCM_16"))
    (tmp_path / "walk.mp4").write_bytes(video(shades([90] * 6), tmp_path))
    return tmp_path


def test_the_output_of_the_commands_has_the_form_that_the_readme_shows(folder: Path) -> None:
    block = BLOCK.search(README)
    assert block is not None
    expected = [without_figures(line) for line in block[2].splitlines()]
    printed: list[str] = []
    for line in block[1].splitlines():
        words = shlex.split(line)[1:]
        if "face-emotion" in words:
            words += ["--detector", "tiny_detector"]
        process = subprocess.run(
            [sys.executable, *words], cwd=folder, env={"PYTHONPATH": str(PROJECT)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert process.returncode == 0, process.stderr
        printed += [without_figures(text) for text in process.stdout.splitlines()]
    # the numbers of faces and of classes depend on the model: compare each form of line once
    forms, expected_forms = (dict.fromkeys(map(shorten, x)) for x in (printed, expected))
    assert list(forms) == list(expected_forms)
    assert {"faces.png", "cut-out.png"} <= {path.name for path in folder.iterdir()}


def shorten(line: str) -> str:
    """Replace all classes after the first by an ellipsis."""
    return re.sub(r"(CLASS N)(, CLASS N)+", r"\1, ...", line)

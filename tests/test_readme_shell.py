"""The README's commands of the tasks: run with tiny models, and what they print has the form shown.

Their figures are of real weights and media, which are not in the repository.
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


def form_of(line: str) -> str:
    """A line without its figures, and without the classes that they belong to."""
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


def test_what_the_commands_of_the_tasks_print_has_the_form_shown(folder: Path) -> None:
    found = BLOCK.search(README)
    assert found is not None
    shown = [form_of(line) for line in found[2].splitlines()]
    printed: list[str] = []
    for line in found[1].splitlines():
        words = shlex.split(line)[1:]
        if "face-emotion" in words:
            words += ["--detector", "tiny_detector"]
        done = subprocess.run(
            [sys.executable, *words], cwd=folder, env={"PYTHONPATH": str(PROJECT)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        printed += [form_of(text) for text in done.stdout.splitlines()]
    # as many faces and classes as there are; each line once is enough
    assert list(dict.fromkeys(map(short, printed))) == list(dict.fromkeys(map(short, shown)))
    assert {"faces.png", "cut-out.png"} <= {path.name for path in folder.iterdir()}


def short(line: str) -> str:
    return re.sub(r"(CLASS N)(, CLASS N)+", r"\1, ...", line)

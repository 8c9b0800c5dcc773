"""Write pages of pictures, of tasks with and without a model and of broken files."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from deploy.gallery import main, spread
from tests.runtime.support.recordings import shades, sound, tone, video
from tests.support.artifacts import CLASSIFIER, EMBEDDING, GAIT, VOICE, write_artifact


@pytest.fixture
def media(tmp_path: Path) -> Path:
    folder = tmp_path / "media"
    folder.mkdir()
    for name, level in (("a.png", 20), ("b & c.png", 255)):
        assert cv2.imwrite(str(folder / name), np.full((60, 80, 3), level, np.uint8))
    (folder / "broken.png").write_bytes(b"<b>no picture</b>")
    (folder / "voice.wav").write_bytes(sound(tone()))
    (folder / "walk.mp4").write_bytes(video(shades([50] * 6), tmp_path))
    return folder


def test_a_page_with_a_picture_of_each_answer(
    tmp_path: Path, media: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artifacts, out = tmp_path / "artifacts", tmp_path / "out"
    for graph in (CLASSIFIER, EMBEDDING, VOICE):
        write_artifact(artifacts, graph)
    write_artifact(artifacts, GAIT, origin="synthetic")
    assert main([str(media), "--artifacts", str(artifacts), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out / 'index.html'}\n"
    pictures = sorted(path.name for path in out.glob("*.png"))
    assert pictures == [
        "background-00.png", "background-01.png", "face-emotion-00.png", "face-emotion-01.png",
        "gait-00.png", "similarity-00.png", "voice-emotion-00.png",
    ]  # fmt: skip
    page = (out / "index.html").read_text(encoding="utf-8")
    assert all(page.count(f'<img src="{name}"') == 1 for name in pictures)
    assert "by gait_student/1, weights: synthetic" in page
    assert "b &amp; c.png</b>\nbright 0.9" in page
    assert page.count('<figcaption class="refused">') == 3  # broken.png, by each task of images
    assert page.count("broken.png") == 3


def test_a_task_without_its_model_says_so(tmp_path: Path, media: Path) -> None:
    artifacts, out = tmp_path / "artifacts", tmp_path / "out"
    write_artifact(artifacts, VOICE)
    assert main([str(media), "--artifacts", str(artifacts), "--out", str(out)]) == 0
    page = (out / "index.html").read_text(encoding="utf-8")
    assert "has no gait_student: it holds voice_emotion_wav2vec2" in page
    # GrabCut needs no model
    assert (out / "background-00.png").exists()


def test_nothing_to_show_is_an_error(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main([str(tmp_path / "*.png"), "--artifacts", str(tmp_path), "--out", str(out)]) == 1


def test_few_files_are_spread_over_many() -> None:
    files = [Path(str(number)) for number in range(10)]
    assert spread(files, 3) == [Path("0"), Path("4"), Path("9")]
    assert spread(files, 1) == [Path("0")]
    assert spread(files[:2], 3) == files[:2]

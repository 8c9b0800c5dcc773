"""`python -m runtime face-emotion`."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from runtime.cli.main import main
from tests.runtime.support.command_line import command_line, read_image


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (
            ("--detector", "background_u2netp"),
            "background_u2netp is for image-segmentation; allowed",
        ),
        (("--detector", "absent"), "has no absent: it holds background_u2netp, "),
        (("--vote-weights", "absent:1"), "has no absent: it holds background_u2netp, "),
        (("--weights", "absent:1"), "has no absent: it holds background_u2netp, "),
        (("--margin", "2"), "margin is 2; allowed: 0 to 1, of the face's side"),
    ],
)
def test_options_are_checked_before_any_file(
    artifacts: Path,
    images: Path,
    capsys: pytest.CaptureFixture[str],
    option: tuple[str, str],
    message: str,
) -> None:
    assert main(command_line(artifacts, "face-emotion", images, *option)) == 1
    captured = capsys.readouterr()
    (error,) = captured.err.splitlines()
    assert message in error
    assert captured.out == ""


def test_an_image_without_a_face_is_classified_whole(
    artifacts: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command_line(artifacts, "face-emotion", images / "1.png")) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith("; no face found, classified the whole image")


def test_faces_are_drawn_at_their_place(artifacts: Path, tmp_path: Path) -> None:
    image = np.full((600, 600, 3), 100, np.uint8)
    image[300:450, 150:300] = (0, 255, 0)  # a face to the tiny detector
    assert cv2.imwrite(str(tmp_path / "face.png"), image)
    out = tmp_path / "drawing.png"
    arguments = ("--detector", "tiny_detector", "--draw", out)
    assert main(command_line(artifacts, "face-emotion", tmp_path / "face.png", *arguments)) == 0
    drawing = read_image(out)
    assert drawing.shape[1] == 600
    changed = (drawing[:600] != image).any(axis=2)
    assert changed[300:450, 148:153].mean() > 0.5  # the left side of the box
    assert not changed[320:430, 160:290].any()
    assert not changed[480:, :].any()

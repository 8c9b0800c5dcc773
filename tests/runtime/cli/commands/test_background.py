"""`python -m runtime background`."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from runtime.cli.main import main
from tests.runtime.support.command_line import command_line, json_lines, read_image


def test_cut_outs_are_written_and_drawn(
    artifacts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = np.zeros((600, 800, 3), np.uint8)
    image[:, 400:] = (200, 220, 240)  # bright: foreground to the tiny model
    photo, out, drawing = (tmp_path / name for name in ("photo.png", "cut.png", "drawing.png"))
    assert cv2.imwrite(str(photo), image)
    arguments = command_line(artifacts, "background", photo, "--no-refine", "--no-clean")
    assert main([*arguments, "--out", str(out), "--draw", str(drawing), "--json"]) == 0
    (answer,) = json_lines(capsys.readouterr().out)
    assert answer["model"] == "background_u2netp"
    assert answer["result"]["method"] == "model"
    assert answer["result"]["out"] == str(out)
    assert answer["result"]["foreground_fraction"] == pytest.approx(0.5, abs=0.03)
    cut_out = cv2.imread(str(out), cv2.IMREAD_UNCHANGED)
    assert cut_out is not None
    assert cut_out[300, 700].tolist() == [200, 220, 240, 255]
    assert cut_out[300, 100].tolist() == [0, 0, 0, 0]
    picture = read_image(drawing)
    assert set(picture[300, 820:1100, 0].tolist()) == {204, 255}  # chequerboard
    assert picture[300, -50].tolist() == [240, 220, 200]


def test_a_colour_behind_and_options_that_are_refused(
    artifacts: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = command_line(artifacts, "background", images / "3.png", "--method", "grabcut")
    out = tmp_path / "on-blue.jpg"
    assert main([*arguments, "--color", "0000ff", "--out", str(out)]) == 0
    assert read_image(out).shape == (60, 80, 3)
    capsys.readouterr()
    for wrong, message in (
        (["--out", str(out)], "JPEG has no transparency"),
        (["--color", "blue"], "--color is 'blue'; allowed: #rrggbb or #rgb"),
        (["--max-side", "0"], "--max-side is 0; allowed: 32 to 8192 px"),
    ):
        assert main([*arguments, *wrong]) == 1
        assert message in capsys.readouterr().err

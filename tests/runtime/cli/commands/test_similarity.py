"""`python -m runtime similarity`."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from runtime.cli.main import main
from tests.runtime.support.command_line import command_line, json_lines, read_image


def test_the_first_image_is_compared_with_each_other(
    artifacts: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cv2.imwrite(str(tmp_path / "red.png"), np.full((9, 9, 3), (0, 0, 255), np.uint8))
    assert cv2.imwrite(str(images / "2.png"), np.full((9, 9, 3), (0, 0, 200), np.uint8))
    (images / "1.png").unlink()
    arguments = command_line(artifacts, "similarity", tmp_path / "red.png", images)
    assert main([*arguments, "--json", "--draw", str(tmp_path / "pairs")]) == 0
    dark_red, white = json_lines(capsys.readouterr().out)
    assert dark_red["result"]["cosine"] == pytest.approx(1.0, abs=1e-6)
    assert white["result"]["cosine"] == pytest.approx(3**-0.5, abs=1e-6)
    assert white["file"] == f"{images}/3.png"
    pair = read_image(tmp_path / "pairs" / "3.png")
    assert pair[200, 100].tolist() == [255, 0, 0]
    assert pair[200, -100].tolist() == [255, 255, 255]
    assert main(command_line(artifacts, "similarity", images / "none.png", images)) == 1
    assert "none.png" in capsys.readouterr().err

"""`python -m runtime gait`."""

from pathlib import Path

import pytest

from runtime.cli.main import main
from tests.runtime.support.command_line import command_line, read_image
from tests.runtime.support.recordings import shades, video


def test_a_clip_with_a_condition_is_printed_and_drawn(
    artifacts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "walk.mp4"
    path.write_bytes(video(shades([20, 90, 160, 230]), tmp_path))
    arguments = command_line(artifacts, "gait", path, "--condition", "stroke")
    assert main([*arguments, "--draw", str(tmp_path / "sheet.png")]) == 0
    output = capsys.readouterr().out
    assert "4 frames" in output
    assert "condition: Ischaemic stroke (read by name)" in output
    sheet = read_image(tmp_path / "sheet.png")
    frames = [sheet[200 + 480 * row, 300 + 640 * column, 0] for row in (0, 1) for column in (0, 1)]
    assert frames == pytest.approx([20, 90, 160, 230], abs=8)  # the codec is lossy

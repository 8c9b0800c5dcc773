"""`python -m runtime voice-emotion`."""

from pathlib import Path

import numpy as np
import pytest

from runtime.cli.main import main
from runtime.draw.canvas import palette
from tests.runtime.support.command_line import command_line, read_image
from tests.runtime.support.recordings import sound, tone


def test_windows_are_printed_and_drawn(
    artifacts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quiet, loud = tone(seconds=3, level=0.01), tone(seconds=3, level=1)
    path = tmp_path / "voice.wav"
    path.write_bytes(sound(np.concatenate([quiet, loud])))
    arguments = command_line(artifacts, "voice-emotion", path, "--window", "3", "--overlap", "0")
    assert main([*arguments, "--draw", str(tmp_path / "voice.png")]) == 0
    first, *windows = capsys.readouterr().out.splitlines()
    assert first.endswith("; 6.0 s")
    assert windows[0].startswith("  0.0 to 3.0 s: quiet 0.9")
    assert windows[1].startswith("  3.0 to 6.0 s: calm 0.")
    ribbon = read_image(tmp_path / "voice.png")[270, 24:1224]  # in the colours of the classes
    assert ribbon[590].tolist() == list(palette(0))
    assert ribbon[1190].tolist() == list(palette(1))
    assert main([*arguments[:-1], "2.5"]) == 1
    assert "overlap_s is 2.5; allowed: 0 to 1.5" in capsys.readouterr().err


def test_silence_has_no_emotion(
    artifacts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "silence.wav"
    path.write_bytes(sound(np.zeros(16_000, np.float32)))
    assert main(command_line(artifacts, "voice-emotion", path)) == 0
    assert capsys.readouterr().out == f"{path}: silent, no emotion; 1.0 s\n"

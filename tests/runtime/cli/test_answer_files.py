"""Many files in one command: order, errors, JSON lines, progress, drawings."""

import os
import pty
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from runtime.cli.answer_files import answer_files
from runtime.cli.command import Answer, ReadyCommand
from runtime.cli.main import main
from runtime.results import Provenance
from tests.runtime.support.command_line import (
    PROJECT,
    command_line,
    json_lines,
    read_image,
    start,
)
from tests.runtime.support.pictures import encode


def test_a_folder_is_answered_in_order_with_an_error_per_refused_file(
    artifacts: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command_line(artifacts, "face-emotion", images)) == 1
    captured = capsys.readouterr()
    answers = [line for line in captured.out.splitlines() if not line.startswith(" ")]
    assert [line.split(": ")[0] for line in answers] == [f"{images}/1.png", f"{images}/3.png"]
    assert answers[0].split(": ")[1].startswith("dark 0.9")
    assert answers[1].split(": ")[1].startswith("bright 0.9")
    (error,) = captured.err.splitlines()
    assert error.startswith(f"runtime: {images}/2.png: ")
    assert "allowed: JPEG" in error


def test_json_has_one_line_per_file_including_refused_ones(
    artifacts: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command_line(artifacts, "face-emotion", images, "--json")) == 1
    captured = capsys.readouterr()
    first, second, third = json_lines(captured.out)
    assert first["result"]["label"] == "dark"
    assert (first["model"], first["weights"], first["warnings"]) == (
        "face_emotion_xception", "pretrained", [],
    )  # fmt: skip
    assert set(second) == {"file", "error"}
    assert third["file"] == f"{images}/3.png"
    assert captured.err == ""


def test_drawings_of_several_files_go_into_a_folder(
    artifacts: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "drawings"
    arguments = command_line(artifacts, "face-emotion", images, "--json", "--draw", out)
    assert main(arguments) == 1
    drawings = [line.get("drawing") for line in json_lines(capsys.readouterr().out)]
    assert drawings == [str(out / "1.png"), None, str(out / "3.png")]
    assert read_image(out / "3.png")[5, 5].tolist() == [255, 255, 255]
    assert main([*arguments[:-1], str(tmp_path / "one.png")]) == 1
    assert "is one file for 3; allowed: a folder" in capsys.readouterr().err


def test_nan_in_an_answer_is_an_error_and_not_invalid_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "x.txt"
    text.write_text("slow walk", encoding="utf-8")

    def answer(path: Path) -> Answer:
        provenance = Provenance("m", 1, "none", "float", "pretrained")
        return Answer(provenance, {"cosine": float("nan")}, ("nan",))

    options = Namespace(files=[str(text)], json=True, draw=None)
    assert answer_files(ReadyCommand(answer, frozenset()), options) == 1
    (line,) = json_lines(capsys.readouterr().out)
    assert line["error"] == "m returned values that are not finite numbers"


def test_a_folder_or_pattern_without_files_is_an_error(
    artifacts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command_line(artifacts, "face-emotion", tmp_path, tmp_path / "*.png")) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert "holds no file of" in first
    assert "matches no file of" in second


def test_errors_name_files_that_are_no_input(
    artifacts: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad, missing = images / "1.png", images / "2.png", images / "none.png"
    unwritable = images / "unwritable.png"
    unwritable.symlink_to(images / "nowhere" / "x.png")
    for arguments, message in (
        (("similarity", bad, good), f"{bad}: found 10 bytes that begin"),
        (("similarity", missing, good), f"{missing}: No such file or directory"),
        (("background", good, "--behind", bad), f"--behind {bad}: found 10 bytes that begin"),
        (("background", good, "--behind", missing), f"--behind {missing}: No such file or dir"),
        (("gait", good, "--draw", good / "x.png"), f"--draw is {good}/x.png, where a file is in"),
        (("background", good, "--out", unwritable), f"{good}: {unwritable}: No such file or"),
    ):
        command, *rest = arguments
        assert main(command_line(artifacts, str(command), *rest)) == 1
        (error,) = capsys.readouterr().err.splitlines()
        assert error.startswith(f"runtime: {message}")


def test_letters_that_the_terminal_lacks_are_escaped(artifacts: Path, images: Path) -> None:
    (images / "1.png").rename(images / "фото.png")
    arguments = command_line(artifacts, "face-emotion", images / "фото.png")
    process = subprocess.run(
        [sys.executable, "-m", "runtime", *arguments],
        cwd=PROJECT,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (process.returncode, process.stderr) == (0, "")
    assert "\\u0444\\u043e\\u0442\\u043e.png: dark" in process.stdout


def test_a_dash_is_refused_with_the_name_of_standard_input(
    artifacts: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command_line(artifacts, "face-emotion", "-", images / "1.png")) == 1
    captured = capsys.readouterr()
    assert captured.err == "runtime: -: no such file; standard input is /dev/stdin\n"
    assert captured.out.startswith(f"{images}/1.png: dark")


def test_file_names_cannot_control_the_terminal(
    artifacts: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.rename(images / "1.png", os.fsencode(images) + b"/\x1b[2J\xff.png")
    assert main(command_line(artifacts, "face-emotion", images)) == 1
    captured = capsys.readouterr()
    assert f"{images}/\\x1b[2J\\udcff.png: dark 0.9" in captured.out
    assert "\x1b" not in captured.out + captured.err


def test_a_closed_pipe_ends_the_command_without_an_error(artifacts: Path, tmp_path: Path) -> None:
    for number in range(40):
        image = np.full((20, 20, 3), number, np.uint8)
        assert cv2.imwrite(str(tmp_path / f"{number}.png"), image)
    read_end, write_end = os.pipe()
    os.close(read_end)
    process = start(
        command_line(artifacts, "face-emotion", tmp_path, "--json"),
        stdout=write_end, stderr=subprocess.PIPE,
    )  # fmt: skip
    os.close(write_end)
    _, error = process.communicate(timeout=60)
    assert error == b""
    assert process.returncode == 141


def test_progress_is_written_to_a_terminal_and_erased(artifacts: Path, images: Path) -> None:
    terminal, stderr = pty.openpty()
    process = start(
        command_line(artifacts, "face-emotion", images, "--json"),
        stdout=subprocess.PIPE, stderr=stderr,
    )  # fmt: skip
    os.close(stderr)
    out, _ = process.communicate(timeout=60)
    progress = os.read(terminal, 4096).decode()
    os.close(terminal)
    assert process.returncode == 1
    assert len(out.splitlines()) == 3
    assert "[1/3] 1.png" in progress
    assert "[3/3] 3.png" in progress
    assert progress.endswith("\r\x1b[K")


def test_warnings_about_a_file_are_on_stderr_and_in_json(
    artifacts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(encode(Image.new("RGB", (40, 40), (200, 30, 30)), "PNG", icc_profile=b"no"))
    warning = "the colour profile is damaged: it has no signature 'acsp': the colours count as sRGB"
    assert main(command_line(artifacts, "face-emotion", photo)) == 0
    captured = capsys.readouterr()
    assert captured.err == f"runtime: {photo}: warning: {warning}\n"
    assert warning not in captured.out
    assert main(command_line(artifacts, "face-emotion", photo, "--json")) == 0
    captured = capsys.readouterr()
    assert json_lines(captured.out)[0]["warnings"] == [warning]
    assert captured.err == ""


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_files_of_a_folder_that_are_passed_over_are_told_on_stderr(
    artifacts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    (tmp_path / "photo.png").write_bytes(encode(Image.new("RGB", (40, 40)), "PNG"))
    (tmp_path / "photo.heic").touch()
    assert main(command_line(artifacts, "face-emotion", tmp_path, *options)) == 0
    captured = capsys.readouterr()
    expected = f"runtime: {tmp_path}: passed over 1 file of other suffixes: photo.heic\n"
    assert captured.err == expected
    assert len(captured.out.splitlines()) == 1

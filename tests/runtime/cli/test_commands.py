"""`python -m runtime` with many files: order, errors, JSON lines, progress, drawings."""

import json
import os
import pty
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.cli.command import Answer, ReadyCommand
from runtime.cli.loop import answer_all
from runtime.cli.main import main
from runtime.draw.canvas import palette
from runtime.results import Provenance
from tests.runtime.support.recordings import shades, sound, tone, video
from tests.support.artifacts import (
    CLASSIFIER,
    DETECTOR,
    EMBEDDING,
    GAIT,
    SEGMENTATION,
    TEXT,
    VOICE,
    write_artifact,
)

PROJECT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("artifacts")
    for graph in (CLASSIFIER, DETECTOR, EMBEDDING, VOICE, GAIT, TEXT, SEGMENTATION):
        write_artifact(root, graph)
    return root


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with a dark, a broken and a bright picture, in this order."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, level in (("1.png", 0), ("3.png", 255)):
        assert cv2.imwrite(str(folder / name), np.full((60, 80, 3), level, np.uint8))
    (folder / "2.png").write_bytes(b"no picture")
    return folder


def lines(captured: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in captured.splitlines()]


def read(path: Path) -> NDArray[np.uint8]:
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    assert picture is not None
    return np.asarray(picture, np.uint8)


def asked(artifacts: Path, *arguments: str | Path) -> list[str]:
    command, *rest = (str(argument) for argument in arguments)
    return [command, "--artifacts", str(artifacts), *rest]


def test_a_folder_is_answered_in_order_with_an_error_for_each_bad_file(
    artifacts: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(asked(artifacts, "face-emotion", pictures)) == 1
    captured = capsys.readouterr()
    told = [line for line in captured.out.splitlines() if not line.startswith(" ")]
    assert [line.split(": ")[0] for line in told] == [f"{pictures}/1.png", f"{pictures}/3.png"]
    assert told[0].split(": ")[1].startswith("dark 0.9")
    assert told[1].split(": ")[1].startswith("bright 0.9")
    (error,) = captured.err.splitlines()
    assert error.startswith(f"runtime: {pictures}/2.png: ")
    assert "allowed: JPEG" in error


def test_json_has_a_line_for_each_file_the_refused_among_them(
    artifacts: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(asked(artifacts, "face-emotion", pictures, "--json")) == 1
    captured = capsys.readouterr()
    first, second, third = lines(captured.out)
    assert first["result"]["label"] == "dark"
    assert (first["model"], first["weights"], first["warnings"]) == (
        "face_emotion_xception", "pretrained", [],
    )  # fmt: skip
    assert set(second) == {"file", "error"}
    assert third["file"] == f"{pictures}/3.png"
    assert captured.err == ""


def test_what_weights_are_is_told_once_and_only_what_is_needed_is_loaded(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_artifact(tmp_path, CLASSIFIER, origin="seeded")
    broken = write_artifact(tmp_path, SEGMENTATION)
    (broken / "float.onnx").write_bytes(b"not a graph")
    (pictures / "2.png").unlink()
    assert main(asked(tmp_path, "face-emotion", pictures)) == 0
    caution = "runtime: face_emotion_xception has seeded weights: its answers mean nothing\n"
    assert capsys.readouterr().err == caution


def test_a_missing_model_says_what_is_there(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_artifact(tmp_path, VOICE)
    assert main(asked(tmp_path, "gait", pictures)) == 1
    error = capsys.readouterr().err
    assert f"{tmp_path} has no gait_student: it holds voice_emotion_wav2vec2; make it: " in error


def test_a_model_of_another_task_is_refused_before_any_file(
    artifacts: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("gait", "voice-emotion"):
        assert main(asked(artifacts, command, pictures, "--model", "clinical_text_minilm")) == 1
        (error,) = capsys.readouterr().err.splitlines()
        assert "clinical_text_minilm is for sentence-similarity; allowed: " in error


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ("--detector", "background_u2netp"),
            "background_u2netp is for image-segmentation; allowed",
        ),
        (("--detector", "nobody"), "has no nobody: it holds background_u2netp, "),
        (("--margin", "2"), "margin is 2; allowed: 0 to 1, of the face's side"),
    ],
)
def test_who_finds_faces_and_how_is_checked_before_any_file(
    artifacts: Path,
    pictures: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, str],
    says: str,
) -> None:
    assert main(asked(artifacts, "face-emotion", pictures, *arguments)) == 1
    captured = capsys.readouterr()
    (error,) = captured.err.splitlines()
    assert says in error
    assert captured.out == ""


def test_a_file_that_stands_beside_the_others_is_named(
    artifacts: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad, none = pictures / "1.png", pictures / "2.png", pictures / "none.png"
    lost = pictures / "lost.png"  # cannot be written
    lost.symlink_to(pictures / "nowhere" / "x.png")
    for arguments, says in (
        (("similarity", bad, good), f"{bad}: found 10 bytes that begin"),
        (("similarity", none, good), f"{none}: No such file or directory"),
        (("background", good, "--behind", bad), f"--behind {bad}: found 10 bytes that begin"),
        (("background", good, "--behind", none), f"--behind {none}: No such file or directory"),
        (("gait", good, "--draw", good / "x.png"), f"--draw is {good}/x.png, where a file is in"),
        (("background", good, "--out", lost), f"{good}: {lost}: No such file or directory"),
    ):
        assert main(asked(artifacts, *arguments)) == 1
        (error,) = capsys.readouterr().err.splitlines()
        assert error.startswith(f"runtime: {says}")


def test_a_terminal_without_the_letters_of_a_name_has_their_codes(
    artifacts: Path, pictures: Path
) -> None:
    (pictures / "1.png").rename(pictures / "фото.png")
    done = subprocess.run(
        [sys.executable, "-m", "runtime", *asked(artifacts, "face-emotion", pictures / "фото.png")],
        cwd=PROJECT,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\u0444\\u043e\\u0442\\u043e.png: dark" in done.stdout


def test_standard_input_has_a_name(
    artifacts: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(asked(artifacts, "face-emotion", "-", pictures / "1.png")) == 1
    captured = capsys.readouterr()
    assert captured.err == "runtime: -: no such file; standard input is /dev/stdin\n"
    assert captured.out.startswith(f"{pictures}/1.png: dark")


def test_names_cannot_write_to_the_terminal(
    artifacts: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.rename(pictures / "1.png", os.fsencode(pictures) + b"/\x1b[2J\xff.png")
    assert main(asked(artifacts, "face-emotion", pictures)) == 1
    captured = capsys.readouterr()
    assert f"{pictures}/\\x1b[2J\\udcff.png: dark 0.9" in captured.out
    assert "\x1b" not in captured.out + captured.err


def test_values_that_are_no_numbers_are_not_written_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "x.txt"
    text.write_text("slow walk", encoding="utf-8")

    def ask(path: Path) -> Answer:
        provenance = Provenance("m", 1, "none", "float", "pretrained")
        return Answer(provenance, {"cosine": float("nan")}, ("nan",))

    options = Namespace(files=[str(text)], json=True, draw=None)
    assert answer_all(ReadyCommand(ask, frozenset()), options) == 1
    (answer,) = lines(capsys.readouterr().out)
    assert answer["error"] == "m gave values that are not finite numbers"


def test_nothing_found_is_an_error(
    artifacts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(asked(artifacts, "face-emotion", tmp_path, tmp_path / "*.png")) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert "holds no file of" in first
    assert "matches no file of" in second


def test_faces_are_drawn_where_they_are(artifacts: Path, tmp_path: Path) -> None:
    image = np.full((600, 600, 3), 100, np.uint8)
    image[300:450, 150:300] = (0, 255, 0)  # what the tiny detector takes for a face
    assert cv2.imwrite(str(tmp_path / "face.png"), image)
    out = tmp_path / "drawn.png"
    arguments = ("face-emotion", tmp_path / "face.png", "--detector", "tiny_detector")
    assert main([*asked(artifacts, *arguments), "--draw", str(out)]) == 0
    drawn = read(out)
    assert drawn.shape[1] == 600
    changed = (drawn[:600] != image).any(axis=2)
    assert changed[300:450, 148:153].mean() > 0.5  # its left side
    assert not changed[320:430, 160:290].any()
    assert not changed[480:, :].any()


def test_several_drawings_go_into_a_folder(
    artifacts: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "drawn"
    command = asked(artifacts, "face-emotion", pictures, "--json", "--draw", out)
    assert main(command) == 1
    drawn = [line.get("drawing") for line in lines(capsys.readouterr().out)]
    assert drawn == [str(out / "1.png"), None, str(out / "3.png")]
    assert read(out / "3.png")[5, 5].tolist() == [255, 255, 255]
    assert main([*command[:-1], str(tmp_path / "one.png")]) == 1
    assert "is one file for 3; allowed: a folder" in capsys.readouterr().err


def test_voices(artifacts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quiet, loud = tone(seconds=3, level=0.01), tone(seconds=3, level=1)
    path = tmp_path / "voice.wav"
    path.write_bytes(sound(np.concatenate([quiet, loud])))
    command = asked(artifacts, "voice-emotion", path, "--window", "3", "--overlap", "0")
    assert main([*command, "--draw", str(tmp_path / "voice.png")]) == 0
    first, *windows = capsys.readouterr().out.splitlines()
    assert first.endswith("; 6.0 s")
    assert windows[0].startswith("  0.0 to 3.0 s: quiet 0.9")
    assert windows[1].startswith("  3.0 to 6.0 s: calm 0.")
    drawn = read(tmp_path / "voice.png")
    ribbon = drawn[270, 24:1224]  # coloured by what was said
    assert ribbon[590].tolist() == list(palette(0))
    assert ribbon[1190].tolist() == list(palette(1))
    assert main([*command[:-1], "2.5"]) == 1
    assert "overlap_s is 2.5; allowed: 0 to 1.5" in capsys.readouterr().err


def test_clips_with_a_condition(
    artifacts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "walk.mp4"
    path.write_bytes(video(shades([20, 90, 160, 230]), tmp_path))
    command = asked(artifacts, "gait", path, "--condition", "stroke")
    assert main([*command, "--draw", str(tmp_path / "sheet.png")]) == 0
    told = capsys.readouterr().out
    assert "4 frames" in told
    assert "condition: Ischaemic stroke (read by name)" in told
    sheet = read(tmp_path / "sheet.png")
    shades_seen = [
        sheet[200 + 480 * row, 300 + 640 * column, 0] for row in (0, 1) for column in (0, 1)
    ]
    assert shades_seen == pytest.approx([20, 90, 160, 230], abs=8)  # a lossy codec


def test_cut_outs_are_written_and_drawn(
    artifacts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = np.zeros((600, 800, 3), np.uint8)
    image[:, 400:] = (200, 220, 240)  # the tiny model takes what is bright for foreground
    photo, out, drawn = (tmp_path / name for name in ("photo.png", "cut.png", "drawn.png"))
    assert cv2.imwrite(str(photo), image)
    command = asked(artifacts, "background", photo, "--no-refine", "--no-clean")
    assert main([*command, "--out", str(out), "--draw", str(drawn), "--json"]) == 0
    (answer,) = lines(capsys.readouterr().out)
    assert answer["model"] == "background_u2netp"
    assert answer["result"]["method"] == "model"
    assert answer["result"]["out"] == str(out)
    assert answer["result"]["foreground_fraction"] == pytest.approx(0.5, abs=0.03)
    cut = cv2.imread(str(out), cv2.IMREAD_UNCHANGED)
    assert cut is not None
    assert cut[300, 700].tolist() == [200, 220, 240, 255]
    assert cut[300, 100].tolist() == [0, 0, 0, 0]
    picture = read(drawn)
    assert set(picture[300, 820:1100, 0].tolist()) == {204, 255}  # chequerboard
    assert picture[300, -50].tolist() == [240, 220, 200]


def test_a_cut_out_on_a_colour_and_what_is_refused(
    artifacts: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = asked(artifacts, "background", pictures / "3.png", "--method", "grabcut")
    out = tmp_path / "on-blue.jpg"
    assert main([*command, "--color", "0000ff", "--out", str(out)]) == 0
    assert read(out).shape == (60, 80, 3)
    capsys.readouterr()
    for wrong, message in (
        (["--out", str(out)], "JPEG has no transparency"),
        (["--color", "blue"], "--color is 'blue'; allowed: #rrggbb or #rgb"),
        (["--max-side", "0"], "--max-side is 0; allowed: 32 to 8192 px"),
    ):
        assert main([*command, *wrong]) == 1
        assert message in capsys.readouterr().err


def test_one_image_is_compared_with_others(
    artifacts: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cv2.imwrite(str(tmp_path / "red.png"), np.full((9, 9, 3), (0, 0, 255), np.uint8))
    assert cv2.imwrite(str(pictures / "2.png"), np.full((9, 9, 3), (0, 0, 200), np.uint8))
    (pictures / "1.png").unlink()
    command = asked(artifacts, "similarity", tmp_path / "red.png", pictures)
    assert main([*command, "--json", "--draw", str(tmp_path / "pairs")]) == 0
    alike, other = lines(capsys.readouterr().out)
    assert alike["result"]["cosine"] == pytest.approx(1.0, abs=1e-6)
    assert other["result"]["cosine"] == pytest.approx(3**-0.5, abs=1e-6)  # of white
    assert other["file"] == f"{pictures}/3.png"
    pair = read(tmp_path / "pairs" / "3.png")
    assert pair[200, 100].tolist() == [255, 0, 0]
    assert pair[200, -100].tolist() == [255, 255, 255]
    assert main(asked(artifacts, "similarity", pictures / "none.png", pictures)) == 1
    assert "none.png" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("graph", "content", "can_be_drawn"),
    [
        (VOICE, "sound", True),
        (GAIT, "clip", True),
        (TEXT, "text", False),
        (CLASSIFIER, "image", True),
    ],
)
def test_run_draws_what_can_be_seen(
    artifacts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    graph: str, content: str, can_be_drawn: bool,
) -> None:  # fmt: skip
    path = tmp_path / "file"
    image = cv2.imencode(".png", np.zeros((50, 50, 3), np.uint8))[1].tobytes()
    made = {"sound": sound(tone()), "text": b"slow walk", "image": image}
    path.write_bytes(made[content] if content in made else video(shades([9] * 5), tmp_path))
    models = {
        VOICE: "voice_emotion_wav2vec2", GAIT: "gait_student", TEXT: "clinical_text_minilm",
        CLASSIFIER: "face_emotion_xception",
    }  # fmt: skip
    model = artifacts / models[graph]
    out = tmp_path / "drawn.png"
    assert main(["run", str(model), str(path), "--draw", str(out)]) == (0 if can_be_drawn else 1)
    assert out.exists() == can_be_drawn
    assert ("there is nothing to be seen" in capsys.readouterr().err) != can_be_drawn


def started(arguments: list[str], **given: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "runtime", *arguments], cwd=PROJECT, **given)


def test_a_reader_that_has_enough_is_no_error(artifacts: Path, tmp_path: Path) -> None:
    for number in range(40):
        image = np.full((20, 20, 3), number, np.uint8)
        assert cv2.imwrite(str(tmp_path / f"{number}.png"), image)
    reading, writing = os.pipe()
    os.close(reading)
    process = started(
        asked(artifacts, "face-emotion", tmp_path, "--json"),
        stdout=writing, stderr=subprocess.PIPE,
    )  # fmt: skip
    os.close(writing)
    _, error = process.communicate(timeout=60)
    assert error == b""
    assert process.returncode == 141


def test_progress_is_shown_on_a_terminal_and_erased(artifacts: Path, pictures: Path) -> None:
    terminal, end = pty.openpty()
    process = started(
        asked(artifacts, "face-emotion", pictures, "--json"), stdout=subprocess.PIPE, stderr=end
    )
    os.close(end)
    out, _ = process.communicate(timeout=60)
    shown = os.read(terminal, 4096).decode()
    os.close(terminal)
    assert process.returncode == 1
    assert len(out.splitlines()) == 3
    assert "[1/3] 1.png" in shown
    assert "[3/3] 3.png" in shown
    assert shown.endswith("\r\x1b[K")

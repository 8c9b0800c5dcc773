"""What length costs: the files made for it, one measurement, and the table."""

import struct
from pathlib import Path

import cv2
import pytest
import soundfile

from benchmarks.children import run_python
from benchmarks.errors import BenchmarkError
from benchmarks.lengths import Kind, Row, kinds, main, measure, render
from benchmarks.machine import describe_machine
from benchmarks.mp4 import lengthened
from benchmarks.recordings import write_sound
from runtime.media.video.sample import Limits, sample_frames
from tests.runtime.support.recordings import shades, video
from tests.support.artifacts import GAIT, VOICE, write_artifact

LEVELS = [30, 80, 130, 180, 230]


def write_small_clip(path: Path, seconds: int) -> None:
    clip = video(shades(LEVELS), path.parent, fps=5)
    path.write_bytes(lengthened(clip, seconds))


def test_a_lengthened_clip_is_its_frames_again_and_again(tmp_path: Path) -> None:
    clip = video(shades(LEVELS), tmp_path, fps=5)
    longer = lengthened(clip, 4)
    assert len(longer) < 2 * len(clip)
    taken = sample_frames(longer, count=20, limits=Limits())
    assert taken.clip_frames == 20
    assert [int(frame[20, 20, 0]) for frame in taken.frames] == pytest.approx(LEVELS * 4, abs=8)
    assert taken.times_s == pytest.approx([i / 5 for i in range(20)], abs=1e-3)
    path = tmp_path / "longer.mp4"
    path.write_bytes(longer)
    capture = cv2.VideoCapture(str(path))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 20
    capture.release()


def test_a_lengthened_clip_says_how_long_it_is_and_where_decoding_can_begin(tmp_path: Path) -> None:
    clip = video(shades([100] * 5), tmp_path, fps=5)  # where nothing changes the first is the key
    longer = lengthened(clip, 3)
    at = longer.index(b"mvhd") + 4
    scale, duration = struct.unpack_from(">II", longer, at + 12)
    assert duration / scale == pytest.approx(3.0)  # seconds
    at = longer.index(b"stss") + 8
    (count,) = struct.unpack_from(">I", longer, at)
    assert struct.unpack_from(f">{count}I", longer, at + 4) == (1, 6, 11)


def test_a_file_of_another_kind_is_not_lengthened() -> None:
    with pytest.raises(BenchmarkError, match="no MP4 file of one track"):
        lengthened(b"\0\0\0\x08free", 2)


def test_a_sound_is_as_long_as_asked(tmp_path: Path) -> None:
    write_sound(tmp_path / "x.flac", 3)
    assert soundfile.info(tmp_path / "x.flac").duration == 3.0


def test_a_sound_and_a_clip_are_measured_in_processes_of_their_own(tmp_path: Path) -> None:
    write_artifact(tmp_path, VOICE)
    write_artifact(tmp_path, GAIT)
    measured = (
        Kind("sound", "voice_emotion_wav2vec2", ".flac", 1, (2,), write_sound),
        Kind("clip", "gait_student", ".mp4", 1, (3,), write_small_clip),
        Kind("none", "not_there", ".mp4", 1, (3,), write_small_clip),
    )
    rows = list(measure(tmp_path, measured, tmp_path))
    assert [(row.name, row.seconds) for row in rows] == [("sound", 2), ("clip", 3)]
    for row in rows:
        assert 0 < row.decode_s < 60
        assert 0 < row.whole_s < 60
        assert 0 <= row.more_mb < row.peak_mb < 400
        assert 20 < row.worker_mb < 300  # a Python with numpy and a decoder


def test_the_table() -> None:
    rows = [Row("sound, FLAC", 3600, 61.5, 9.123, 250.0, 800.4, 1.2, 61.0)]
    text = render(rows, describe_machine(), quick=True)
    assert "sound, FLAC  1 h     61.50    9.12      250.00   800      1        61" in text
    assert text.endswith("quick: not figures to quote")


def test_lengths_reach_an_hour_and_ten_minutes() -> None:
    assert [kind.seconds[-1] for kind in kinds(quick=False)] == [3600, 600, 60]


def test_without_models_there_is_no_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--artifacts", str(tmp_path), "--quick"]) == 1
    assert "is not there: no rows of sound" in capsys.readouterr().err


def test_a_process_that_takes_too_long_is_ended() -> None:
    with pytest.raises(BenchmarkError, match=r"took longer than 0\.5 s"):
        run_python("import time; time.sleep(60)", timeout_s=0.5)

from pathlib import Path

import cv2
import pytest
import soundfile

from benchmarks.errors import BenchmarkError
from benchmarks.media_files import clip_writer, write_photo, write_sound
from runtime.media.images.decode import decode_image


def test_a_photo_has_at_most_the_size_asked_for(tmp_path: Path) -> None:
    write_photo(tmp_path / "x.jpg", 0.3)
    height, width, _ = decode_image((tmp_path / "x.jpg").read_bytes()).shape
    assert 0.29e6 < height * width <= 0.3e6
    assert width / height == pytest.approx(4 / 3, abs=0.01)


def test_a_sound_is_as_long_as_asked(tmp_path: Path) -> None:
    write_sound(tmp_path / "x.flac", 3)
    assert soundfile.info(tmp_path / "x.flac").duration == 3.0


def test_a_clip_has_the_frames_asked_for(tmp_path: Path) -> None:
    clip_writer("mp4v")(tmp_path / "x.mp4", 5)
    capture = cv2.VideoCapture(str(tmp_path / "x.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 5
    assert capture.get(cv2.CAP_PROP_FRAME_HEIGHT) == 720
    capture.release()


def test_a_codec_without_an_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="no encoder for 'none'"):
        clip_writer("none")(tmp_path / "x.mp4", 1)

"""Cost as a function of size of a file: one measurement of each kind."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.media_files import write_sound
from benchmarks.scaling.files import ALL, IMAGES, SOUNDS, FilePoint, Kind, measure, to_series
from benchmarks.scaling.one_file import FUNCTIONS, Cost
from tests.runtime.support.recordings import shades, video
from tests.support.artifacts import EMBEDDING, GAIT, SEGMENTATION, VOICE, write_artifact


def write_small_clip(path: Path, seconds: float) -> None:
    levels = range(20, 20 + 10 * round(5 * seconds), 10)
    path.write_bytes(video(shades(levels), path.parent, fps=5))


SMALL_CLIPS = Kind(
    "s of clip",
    (("decode clip", ""), ("gait", "gait_student")),
    write_small_clip,
    ".mp4",
    small=1,
    sizes=(3,),
)


def test_memory_and_time_of_images(tmp_path: Path) -> None:
    for graph in (EMBEDDING, SEGMENTATION):
        write_artifact(tmp_path, graph)
    points = {p.function: p for p in measure(tmp_path, replace(IMAGES, sizes=(6.0,)), tmp_path)}
    assert list(points) == ["decode image", "predict", "cut out, PNG", "cut out, JPEG"]
    decode = points["decode image"]
    assert decode.unit == "megapixels"
    assert decode.file_mb == (tmp_path / "file.jpg").stat().st_size / 1e6
    assert 18 * 1.5 < decode.cost.more_mb < 18 * 3.5  # OpenCV holds the 18 MB twice
    assert decode.cost.cpu_s > 0
    # the image, its alpha, the image at 1024 px, and windows of fixed size
    assert points["cut out, PNG"].cost.more_mb < 18 + 18 + 6 + 110
    assert all(p.cost.worker_mb == 0 for p in points.values())


def test_sounds_and_clips_are_decoded_by_worker_processes(tmp_path: Path) -> None:
    for graph in (VOICE, GAIT):
        write_artifact(tmp_path, graph)
    for series in (replace(SOUNDS, small=1, sizes=(2,)), SMALL_CLIPS):
        points = list(measure(tmp_path, series, tmp_path))
        assert [p.function for p in points] == [name for name, _ in series.functions]
        for p in points:
            assert p.cost.wall_s > 0
            assert 20 < p.cost.worker_mb < 300  # Python, numpy and a decoder


def test_a_function_whose_model_is_missing_is_left_out_with_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kind = Kind("s", (("voice emotion", "absent"),), write_sound, ".flac", 1, (1,))
    assert list(measure(tmp_path, kind, tmp_path)) == []
    assert f"no {tmp_path / 'absent'}: voice emotion is left out" in capsys.readouterr().err


def test_every_function_of_every_series_exists() -> None:
    names = {name for series in ALL for name, _ in series.functions}
    assert names == FUNCTIONS.keys()


def test_a_series_is_the_points_of_one_function() -> None:
    points = [
        FilePoint(name, "megapixels", size, 0.5, Cost(size * 2, 0.1, size * 6, 1.0))
        for size in (1.0, 4.0, 12.0)
        for name in ("decode image", "predict")
    ]
    series = list(to_series(points))
    assert [(one.function, one.value) for one in series] == [
        ("decode image", "wall s"), ("decode image", "more MB"),
        ("predict", "wall s"), ("predict", "more MB"),
    ]  # fmt: skip
    assert [point.size for point in series[0].points] == [1.0, 4.0, 12.0]
    assert series[0].slope == pytest.approx(2.0)
    assert series[1].points[0].value == 7.0  # with that of the decoder's process

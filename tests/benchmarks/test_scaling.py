"""Cost as a function of size: one measurement of each kind, the slopes, and the table."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import scaling
from benchmarks.machine import describe_machine
from benchmarks.media_files import write_sound
from benchmarks.one_file import FUNCTIONS, Cost
from benchmarks.scaling import ALL, IMAGES, SOUNDS, Point, Series, fit_slopes, main, measure, render
from tests.runtime.support.recordings import shades, video
from tests.support.artifacts import EMBEDDING, GAIT, SEGMENTATION, VOICE, write_artifact


def write_small_clip(path: Path, seconds: float) -> None:
    levels = range(20, 20 + 10 * round(5 * seconds), 10)
    path.write_bytes(video(shades(levels), path.parent, fps=5))


SMALL_CLIPS = Series(
    "s of clip",
    (("decode clip", ""), ("gait", "gait_student")),
    write_small_clip,
    ".mp4",
    small=1,
    sizes=(3,),
)


def point(function: str, size: float, *, wall_s: float = 0.25, more_mb: float = 9.06) -> Point:
    return Point(function, "megapixels", size, 0.5, Cost(wall_s, 0.125, more_mb, 0.0))


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
    series = Series("s", (("voice emotion", "absent"),), write_sound, ".flac", 1, (1,))
    assert list(measure(tmp_path, series, tmp_path)) == []
    assert f"no {tmp_path / 'absent'}: voice emotion is left out" in capsys.readouterr().err


def test_every_function_of_every_series_exists() -> None:
    names = {name for series in ALL for name, _ in series.functions}
    assert names == FUNCTIONS.keys()


def test_the_slope_is_what_one_more_unit_costs() -> None:
    points = [point("decode image", s, wall_s=0.5 + 0.02 * s, more_mb=6 * s) for s in (1, 4, 12)]
    slope = fit_slopes(points)
    assert slope.wall_s == pytest.approx(0.02)
    assert slope.more_mb == pytest.approx(6)
    assert slope.cpu_s == pytest.approx(0, abs=1e-12)


def test_the_table_is_ordered_by_function() -> None:
    points = [point(name, size) for size in (0.1, 1.0) for name in ("decode image", "predict")]
    lines = [" ".join(line.split()) for line in render(points, describe_machine()).splitlines()]
    first = lines.index("decode image 0.1 megapixels 0.50 0.250 0.125 9 0")
    assert [line.split(" 0.50")[0] for line in lines[first : first + 4]] == [
        "decode image 0.1 megapixels",
        "decode image 1 megapixels",
        "predict 0.1 megapixels",
        "predict 1 megapixels",
    ]
    assert any(line.startswith("predict, megapixels ") for line in lines)


def test_the_command_writes_the_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scaling, "ALL", (SMALL_CLIPS,))
    figures = tmp_path / "figures.json"
    assert main(["--artifacts", str(tmp_path), "--json", str(figures), "--quick"]) == 0
    assert '"size": 3' in figures.read_text()
    assert "decode clip" in capsys.readouterr().out
    assert main(["--json", str(tmp_path / "absent" / "figures.json")]) == 1
    assert "absent is not a directory" in capsys.readouterr().err

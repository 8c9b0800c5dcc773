"""What the size of an image costs: the files, one measurement, and the table."""

from pathlib import Path

import pytest

from benchmarks.image_sizes import Row, main, measure, render, write_photo
from benchmarks.machine import describe_machine
from benchmarks.one_image import Cost
from runtime.media.images.decode import decode_image
from tests.support.artifacts import EMBEDDING, SEGMENTATION, write_artifact


def test_a_photo_has_at_most_the_size_asked_for(tmp_path: Path) -> None:
    height, width = write_photo(tmp_path / "x.jpg", 0.3)
    assert decode_image((tmp_path / "x.jpg").read_bytes()).shape == (height, width, 3)
    assert 0.29e6 < height * width <= 0.3e6


def test_memory_beyond_the_image_is_measured(tmp_path: Path) -> None:
    write_artifact(tmp_path, EMBEDDING)
    write_artifact(tmp_path, SEGMENTATION)
    rows = {row.cost.name: row for row in measure(tmp_path, (6.0,), tmp_path)}
    assert list(rows) == ["decode", "predict", "cut out, PNG", "cut out, JPEG"]
    decode = rows["decode"]
    assert decode.image_mb == pytest.approx(18, rel=0.01)
    assert 12 < decode.cost.more_mb < 50  # twice the picture, by OpenCV
    # alpha, the image at 1024 px, and windows of fixed size
    assert rows["cut out, PNG"].cost.more_mb < 18 + 6 + 110  # found 111


def test_a_missing_model_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--artifacts", str(tmp_path)]) == 1
    assert "holds none of image_embedding_mobilenetv2" in capsys.readouterr().err


def test_the_table_is_ordered_by_what_is_done() -> None:
    rows = [
        Row(size, 100, 200, 0.5, Cost(name, 0.25, 9.06))
        for size in (0.1, 1.0)
        for name in ("decode", "predict")
    ]
    lines = render(rows, describe_machine()).splitlines()
    found = [line.split() for line in lines if line.startswith(("decode ", "predict "))]
    assert [line[:2] for line in found] == [
        ["decode", "0.1"],
        ["decode", "1"],
        ["predict", "0.1"],
        ["predict", "1"],
    ]
    assert found[0][2:] == ["200", "x", "100", "0.50", "0.1", "0.250", "9", "9"]

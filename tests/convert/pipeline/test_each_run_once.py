"""One conversion runs the float graph once per sample and quantizes each configuration once."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from convert import recipe
from convert.package import measure_variant
from convert.pipeline.job import Job
from convert.pipeline.stages import convert
from runtime.engine.session import Feeds, Session, SessionOptions
from tests.convert.support.quantized import count_quantizations, fix_timings
from tests.convert.support.tiny import write_checkpoint, write_recipe

FLOAT_FILES = ("exported.onnx", "float.onnx")  # the float graph before and after its spec is inside


@pytest.fixture
def float_runs(monkeypatch: pytest.MonkeyPatch) -> Counter[bytes]:
    """Count the runs of the float graph by what it is fed; runs to measure time are left out."""
    runs: Counter[bytes] = Counter()
    open_session, run = Session.__init__, Session.run
    names: dict[int, str] = {}

    def open_and_name(session: Session, path: Path, options: SessionOptions | None = None) -> None:
        open_session(session, path, options)
        names[id(session)] = path.name

    def count_and_run(session: Session, feeds: Feeds, *options: Any) -> dict[str, Any]:
        if names[id(session)] in FLOAT_FILES:
            runs[b"".join(array.tobytes() for array in feeds.values())] += 1
        return run(session, feeds, *options)

    monkeypatch.setattr(Session, "__init__", open_and_name)
    monkeypatch.setattr(Session, "run", count_and_run)
    fix_timings(monkeypatch, 9, 3)
    monkeypatch.setattr(measure_variant, "batch_times_ms", lambda path, feeds: {1: 1.0})
    return runs


def test_nothing_is_computed_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, float_runs: Counter[bytes]
) -> None:
    quantized = count_quantizations(monkeypatch)
    path = write_recipe(tmp_path)
    write_checkpoint(path, tmp_path / "weights.pth")

    outcome = convert(
        Job(recipe.read(path), tmp_path / "out", checkpoint=tmp_path / "weights.pth"),
        lambda stage: None,
    )

    assert outcome.manifest is not None
    names = [variant.name for variant in outcome.manifest.variants]
    assert names == ["int8", "int8-7bit", "float"]
    assert len(float_runs) > 20  # validation, test and golden samples
    assert max(float_runs.values()) == 1
    assert len(quantized) > 3
    assert max(quantized.values()) == 1

"""The table of memory by state, from a real server."""

import json
from pathlib import Path

import pytest

from benchmarks import memory
from benchmarks.memory import Eviction, Report, State, render


def test_every_model_is_loaded_and_evicted(
    measurable: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "memory.json"
    assert memory.main(["--artifacts", str(measurable), "--json", str(path)]) == 0
    content = json.loads(path.read_text())
    models = [entry["model"] for entry in content["evictions"]]
    names = [state["name"] for state in content["states"]]
    assert len(models) >= 2
    assert names == [
        "start",
        "one model was loaded and evicted",
        *(f"{model} {state}" for model in models for state in ("loaded", "evicted")),
        "all loaded",
        "all evicted",
    ]
    for state in content["states"]:
        assert state["rss_mb"] >= state["pss_mb"] >= state["anonymous_mb"] > 10
    table = capsys.readouterr().out
    assert all(name in table for name in names)


def test_a_directory_without_models_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert memory.main(["--artifacts", str(tmp_path)]) == 1
    assert "holds no model" in capsys.readouterr().err


def test_the_share_is_of_what_the_model_kept() -> None:
    assert Eviction("a", 100.0, 95.0).share == 0.95
    assert Eviction("small", 0.5, 0.1).share == 1.0
    table = render(Report((State("start", 90.0, 80.5, 40.0),), (Eviction("a", 100.0, 95.0),)))
    assert "90.0    80.5      40.0" in table
    assert "100.0    95.0       95%" in table

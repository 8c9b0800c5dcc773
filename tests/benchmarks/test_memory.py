"""The table of memory by state, from real servers."""

import json
from pathlib import Path

import pytest

from benchmarks.machine import describe_machine
from benchmarks.memory.__main__ import Report, main, render
from benchmarks.memory.evictions import Eviction
from benchmarks.memory.states import DEMO, HOT, sets
from benchmarks.memory.watch import State


def test_every_state_is_measured(
    measurable: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "memory.json"
    assert main(["--artifacts", str(measurable), "--json", str(path), "--quick"]) == 0
    content = json.loads(path.read_text())
    models = [entry["model"] for entry in content["evictions"]]
    names = [state["name"] for state in content["states"]]
    assert len(models) == 2
    assert names == [
        "no model",
        *(f"{model}, {state}" for model in models for state in ("ready", "asked")),
        *(f"2 models, {state}" for state in ("ready", "each asked", "8 clients")),
        "2 models, loaded on demand",
        "2 models, evicted",
    ]
    for state in content["states"]:
        assert state["rss_mb"] >= state["pss_mb"] >= state["anonymous_mb"] > 10
        assert state["peak_mb"] > 10
    table = capsys.readouterr().out
    assert all(f"| {name} |" in table for name in names)


def test_a_directory_without_models_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--artifacts", str(tmp_path)]) == 1
    assert "holds no model" in capsys.readouterr().err


def test_the_share_is_of_what_the_model_kept() -> None:
    assert Eviction("a", 100.0, 95.0).share == 0.95
    assert Eviction("small", 0.5, 0.1).share == 1.0
    states, evictions = (State("no model", 40, 80.6, 90, 41),), (Eviction("a", 100.0, 95.0),)
    table = render(Report(describe_machine(), states, evictions))
    assert "| no model | 40 | 41 | 81 | 90 |" in table
    assert "| a | 100.0 | 95.0 | 95% |" in table


def test_sets_with_a_name_are_measured_where_all_of_their_models_are_here() -> None:
    assert sets(["a", "b"]) == [("a", "b")]
    assert sets(DEMO) == [DEMO]
    assert sets([*HOT, "other"]) == [DEMO, HOT, (*HOT, "other")]
    assert sets(HOT) == [DEMO, HOT]

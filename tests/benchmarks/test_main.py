import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks.footprint import Imports
from benchmarks.report import Report
from tests.benchmarks.conftest import FACES, MASKS
from tests.benchmarks.support.reports import report

PROJECT = Path(__file__).parents[2]


def give(monkeypatch: pytest.MonkeyPatch, given: Report) -> None:
    monkeypatch.setattr(command, "measure", lambda *_, **__: given)


def test_a_quick_run_writes_table_json_and_picture(measurable: Path, tmp_path: Path) -> None:
    figures, picture = tmp_path / "figures.json", tmp_path / "latency.svg"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--artifacts", str(measurable), "--quick",
         "--json", str(figures), "--svg", str(picture)],
        cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"{MASKS}/3" in done.stdout
    written = json.loads(figures.read_text())
    assert written["quick"] is True
    assert [model["id"] for model in written["models"]] == [MASKS, FACES]
    int8 = written["models"][0]["variants"][0]
    assert {"threads", "latency", "times_faster"} == int8["timings"][0].keys()
    assert {"median_ms", "p95_ms", "runs"} == int8["timings"][0]["latency"].keys()
    assert {check["limit"] for check in written["checks"]} == {0, 330.0, 2.0, 260.0}
    assert all({"value", "passed"} <= check.keys() for check in written["checks"])
    assert picture.read_text().startswith("<svg ")


def test_a_limit_that_is_not_kept_is_an_error_only_with_check(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    give(monkeypatch, report(imports=Imports(seconds=1.0, frameworks=("torch",))))
    assert command.main([]) == 0
    assert command.main(["--check"]) == 1
    give(monkeypatch, report())
    assert command.main(["--check"]) == 0


def test_a_missing_folder_is_told_before_the_measurement(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "measure", lambda *_, **__: pytest.fail("measured"))
    assert command.main(["--svg", str(tmp_path / "absent" / "latency.svg")]) == 1
    assert "absent is not a directory" in capsys.readouterr().err


def test_no_artifacts_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--artifacts", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err.startswith("benchmarks: ")

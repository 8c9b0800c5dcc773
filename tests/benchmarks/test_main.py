import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks.footprint import Imports
from benchmarks.report import Report
from tests.benchmarks.support.artifacts import FACES, MASKS
from tests.benchmarks.support.reports import report

PROJECT = Path(__file__).parents[2]


def replace_measurement(monkeypatch: pytest.MonkeyPatch, result: Report) -> None:
    monkeypatch.setattr(command, "measure", lambda *_, **__: result)


def test_a_quick_run_writes_table_json_and_picture(measurable: Path, tmp_path: Path) -> None:
    figures, picture = tmp_path / "figures.json", tmp_path / "latency.svg"
    process = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--artifacts", str(measurable), "--quick",
         "--json", str(figures), "--svg", str(picture)],
        cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    assert f"{MASKS}/3" in process.stdout
    content = json.loads(figures.read_text())
    assert content["quick"] is True
    assert [model["id"] for model in content["models"]] == [MASKS, FACES]
    int8 = content["models"][0]["variants"][0]
    assert {"threads", "latency", "times_faster"} == int8["timings"][0].keys()
    assert {"median_ms", "p95_ms", "runs"} == int8["timings"][0]["latency"].keys()
    assert {check["limit"] for check in content["checks"]} == {0, 330.0, 2.0, 260.0}
    assert all({"value", "passed"} <= check.keys() for check in content["checks"])
    assert picture.read_text().startswith("<svg ")


def test_an_exceeded_limit_is_an_error_only_with_check(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replace_measurement(monkeypatch, report(imports=Imports(seconds=1.0, frameworks=("torch",))))
    assert command.main([]) == 0
    assert command.main(["--check"]) == 1
    replace_measurement(monkeypatch, report())
    assert command.main(["--check"]) == 0


def test_a_missing_folder_is_an_error_before_the_measurement(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "measure", lambda *_, **__: pytest.fail("measured"))
    assert command.main(["--svg", str(tmp_path / "absent" / "latency.svg")]) == 1
    assert "absent is not a directory" in capsys.readouterr().err


def test_missing_artifacts_are_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--artifacts", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err.startswith("benchmarks: ")

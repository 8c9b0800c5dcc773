"""`python -m benchmarks`: one quick run of everything on small graphs."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as command
from benchmarks.schema.document import read_report, write_section
from tests.benchmarks.support.artifacts import FACES, MASKS
from tests.benchmarks.support.reports import report, suite, validator

PROJECT = Path(__file__).parents[2]


def test_a_quick_run_writes_a_valid_report_with_every_file(
    measurable: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "report"
    write_section(folder, "limits", report()["limits"])
    process = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--artifacts", str(measurable), "--quick",
         "--report", str(folder)],
        cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    assert f"| {MASKS} INT8*" in process.stdout
    assert "Under real limits" not in process.stdout  # it was not measured now
    content = read_report(folder)
    validator().validate(content)
    measured = content["suite"]
    assert measured["conditions"]["quick"] is True
    assert [model["id"] for model in measured["models"]] == [MASKS, FACES]
    int8 = measured["models"][0]["variants"][0]
    assert int8["fidelity"]["golden_cosine"] > 0.99
    assert {check["limit"] for check in measured["checks"]} == {0, 330.0, 1.0, 2.0, 260.0}
    assert [(one["model"], one["clients"]) for one in measured["http"]] == [
        (MASKS, 1), (MASKS, 4), (FACES, 8)
    ]  # fmt: skip
    points = measured["memory"]["timeline"]["points"]
    assert min(point["anonymous_mb"] for point in points) > 10
    assert measured["memory"]["timeline"]["events"][0]["name"] == "ready"
    assert "Under real limits" in (folder / "report.md").read_text()
    assert (folder / "latency.svg").read_text().startswith("<svg ")
    text = (folder / "report.json").read_text() + (folder / "report.html").read_text()
    assert str(tmp_path) not in text
    assert str(PROJECT) not in text


class Measured:
    """Stands for a suite with its checks."""

    def __init__(self, *, passed: bool) -> None:
        self.checks = (type("Check", (), {"passed": passed}),)


def replace_measurement(monkeypatch: pytest.MonkeyPatch, folder: Path, *, passed: bool) -> None:
    def write(_: Path, name: Any, __: object) -> dict[str, Any]:
        return write_section(folder, name, suite())

    monkeypatch.setattr(command, "measure", lambda *_: Measured(passed=passed))
    monkeypatch.setattr(command, "write_section", write)


@pytest.mark.parametrize("passed", [True, False])
def test_an_exceeded_limit_is_an_error_only_with_check(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, passed: bool
) -> None:
    replace_measurement(monkeypatch, tmp_path, passed=passed)
    assert command.main(["--report", str(tmp_path)]) == 0
    assert command.main(["--report", str(tmp_path), "--check"]) == (0 if passed else 1)


def test_missing_artifacts_are_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--artifacts", str(tmp_path / "none"), "--report", str(tmp_path / "report")]
    assert command.main(arguments) == 1
    assert capsys.readouterr().err.startswith("benchmarks: ")
    assert not (tmp_path / "report").exists()

"""An environment that is not there, or that pip refused, says why."""

import sys
from pathlib import Path

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.peers import environments
from benchmarks.peers.environments import deployed, install, last_error, read


def test_an_environment_that_is_not_there_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"litserve is not installed: see benchmarks\.peers"):
        read(tmp_path, "litserve")


def test_a_refusal_of_pip_is_kept_and_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "peer.txt").write_text("no-such-package==1\n", encoding="utf-8")
    python = tmp_path / "python"  # in place of the interpreter: pip is not asked
    python.write_text("#!/bin/sh\necho ERROR: no $1; exit 1\n", encoding="utf-8")
    python.chmod(0o755)
    monkeypatch.setattr(environments, "REQUIREMENTS", tmp_path)
    monkeypatch.setattr(sys, "executable", str(python))
    for call in (install, read):
        with pytest.raises(BenchmarkError, match="is not installed: ERROR: no -m"):
            call(tmp_path / "folder", "peer")


def test_the_reason_of_a_log_is_its_last_error(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("a line\nERROR: no version\nafter it\n", encoding="utf-8")
    assert last_error(log) == "ERROR: no version"
    assert last_error(tmp_path / "absent") == "no log"


def test_slipway_counts_the_deployed_packages_alone() -> None:
    environment = deployed()
    assert {"onnxruntime", "slipway"} <= environment.versions.keys()
    assert "pytest" not in environment.versions
    assert environment.installed_mb > 50


def test_an_environment_that_is_broken_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "litserve").mkdir()
    (tmp_path / "litserve" / ".installed").touch()
    with pytest.raises(BenchmarkError, match="python lists no packages"):
        read(tmp_path, "litserve")

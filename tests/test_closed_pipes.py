"""Every command ends quietly when the reader of its output is gone, as with `| head`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.artifacts import CLASSIFIER, record_batch_times, write_artifact
from tests.support.server_process import PROJECT, environment

COMMANDS = (  # and whether Python writes each line at once
    ("serve plan --rps 5", True),
    ("serve plan --rps 5", False),
    ("serve route show", True),
    ("serve --check --port 0", False),
    ("convert list", True),
)


def run_without_reader(words: list[str], artifacts: Path, *, unbuffered: bool) -> tuple[int, bytes]:
    """Return exit code and standard error of `python -m` into a pipe that nobody reads."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    at_once = "1" if unbuffered else ""
    variables = environment(SLIPWAY_ARTIFACTS=str(artifacts), PYTHONUNBUFFERED=at_once)
    process = subprocess.Popen(
        [sys.executable, "-m", *words],
        cwd=PROJECT, env=variables, stdout=write_end, stderr=subprocess.PIPE,
    )  # fmt: skip
    os.close(write_end)
    _, error = process.communicate(timeout=120)
    return process.returncode, error


@pytest.mark.parametrize(("command", "unbuffered"), COMMANDS)
def test_a_command_without_a_reader(tmp_path: Path, command: str, unbuffered: bool) -> None:
    record_batch_times(write_artifact(tmp_path, CLASSIFIER), {1: 7.0, 8: 28.0})
    words = command.split()
    assert run_without_reader(words, tmp_path, unbuffered=unbuffered) == (141, b"")

"""Keras in a process of its own: TensorFlow and torch corrupt each other's heap."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from tests.convert.support.command_line import PROJECT, environment


def in_keras(function: str, *arguments: str) -> Any:
    """Call a function of `keras_cases` in a new process; its return value comes back as JSON."""
    return _run(function, *arguments)


def in_one_keras(calls: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Call several functions with their arguments in one process: starting TensorFlow takes 3 s.

    Returns:
        Their return values, by name.
    """
    values: dict[str, Any] = _run("call_each", json.dumps(calls))
    return values


def _run(function: str, *arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "tests.convert.support.keras_cases", function, *arguments],
        cwd=PROJECT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=1800,  # several minutes on busy cores
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])

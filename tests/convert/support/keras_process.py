"""Keras in a process of its own: TensorFlow and torch corrupt each other's heap."""

import json
import subprocess
import sys
from typing import Any

from tests.convert.support.command_line import PROJECT, environment


def in_keras(function: str, *arguments: str) -> Any:
    """Call a function of `keras_cases` in a new process; its return value comes back as JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.convert.support.keras_cases", function, *arguments],
        cwd=PROJECT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])

"""Clean interpreters, for what costs most the first time in a process."""

import subprocess
import sys
from pathlib import Path

from benchmarks.errors import BenchmarkError

PROJECT = Path(__file__).resolve().parents[1]
TIMEOUT_S = 120


def run_python(code: str, *arguments: str, timeout_s: float = TIMEOUT_S) -> str:
    """Run code in a new interpreter that sees this checkout.

    Args:
        code: what to run.
        arguments: its sys.argv.
        timeout_s: how long it may take.

    Returns:
        What it printed.

    Raises:
        BenchmarkError: it failed or took too long.
    """
    command = [sys.executable, "-c", code, *arguments]
    try:
        done = subprocess.run(
            command, cwd=PROJECT, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise BenchmarkError(f"a process took longer than {timeout_s:g} s: {code}") from error
    if done.returncode != 0:
        raise BenchmarkError(f"a process ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout

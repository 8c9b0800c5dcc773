"""Run code in fresh interpreters, where nothing is loaded or in the caches yet."""

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.errors import BenchmarkError

PROJECT = Path(__file__).resolve().parents[1]
TIMEOUT_S = 120
# the server's variables beside SLIPWAY_*
SETTINGS = frozenset(
    {
        *("PORT", "WORKERS", "TIMEOUT", "MAX_UPLOAD_SIZE", "CORS_ORIGINS", "CORS_HEADERS"),
        *("DISABLE_GPU", "CHUNK_SIZE"),
    }
)


def environment_without_settings() -> dict[str, str]:
    """Return the variables of this process without those that set the server."""
    return {
        name: value
        for name, value in os.environ.items()
        if name not in SETTINGS and not name.startswith("SLIPWAY_")
    }


def run_python(code: str, *arguments: str, timeout_s: float = TIMEOUT_S) -> str:
    """Run code in a new interpreter that sees this checkout.

    Args:
        code: the program.
        arguments: its `sys.argv[1:]`.
        timeout_s: seconds after which it is killed.

    Returns:
        Its standard output.

    Raises:
        BenchmarkError: it failed or took too long.
    """
    return _run("-c", code, *arguments, timeout_s=timeout_s)


def run_module(module: str, *arguments: str, timeout_s: float = TIMEOUT_S) -> str:
    """Run a module of this checkout as `python -m` does; as `run_python` otherwise."""
    return _run("-m", module, *arguments, timeout_s=timeout_s)


def _run(*arguments: str, timeout_s: float) -> str:
    try:
        process = subprocess.run(
            [sys.executable, *arguments],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        command = " ".join(arguments)
        raise BenchmarkError(f"a process took longer than {timeout_s:g} s: {command}") from error
    if process.returncode != 0:
        raise BenchmarkError(f"a process ended with {process.returncode}: {process.stderr.strip()}")
    return process.stdout

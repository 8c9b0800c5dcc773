"""`python -m serve` as a process of its own."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
SETTINGS = ("PORT", "MAX_UPLOAD_SIZE", "CORS_ORIGINS", "TIMEOUT", "WORKERS")


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    process: subprocess.Popen[str]
    url: str
    lines: tuple[str, ...] = ()  # of the log, until it was ready


def environment(**environ: str) -> dict[str, str]:
    """Return this environment with these settings of the server and no others."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in SETTINGS and not name.startswith("SLIPWAY_")
    }
    return {**inherited, **environ}


def start(*arguments: str, python: str = sys.executable, **environ: str) -> subprocess.Popen[str]:
    """Start a server with these settings and none of the settings of this environment."""
    return subprocess.Popen(
        [python, "-m", "serve", *arguments],
        cwd=PROJECT,
        env=environment(**environ),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )


@contextmanager
def serving(
    *arguments: str, until: str = "ready", python: str = sys.executable, **environ: str
) -> Iterator[Server]:
    """Run a server on a free port until the block ends; fail the test if it does not start.

    Args:
        arguments: of the command line.
        until: the block begins with the line of the log that begins so: "ready" when every model
            is loaded, "listening" when the port is open.
        python: the interpreter.
        environ: the settings as variables.
    """
    process = start(*arguments, "--port", "0", python=python, **environ)
    last = f"serve: {until}"
    url = ""
    try:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if match := re.search(r'listening on (http://127\.0\.0\.1:\d+)("})?$', line.rstrip()):
                url = match[1]
            if last in line:
                yield Server(process, url, tuple(lines))
                break
        else:
            pytest.fail("".join(lines))
    finally:
        process.kill()
        process.communicate()


def peak_mib(process: subprocess.Popen[str]) -> float:
    """Return the peak resident memory of a process so far, in MiB (VmHWM; Linux only)."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    match = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    assert match is not None
    return int(match[1]) / 1024

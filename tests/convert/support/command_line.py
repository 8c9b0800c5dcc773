"""Run `python -m convert run` as a process."""

import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[3]


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "convert", "run", *map(str, arguments)]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(PROJECT)}


def convert(
    *arguments: str | Path, directory: Path, prefix: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run a conversion in a directory that has no `checkpoints/` of its own."""
    return subprocess.run(
        [*prefix, *command(*arguments)],
        cwd=directory,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=1800,  # a search for INT8 takes 100 s on an idle machine
        check=False,
    )


def succeed(*arguments: str | Path, directory: Path) -> str:
    """Run a conversion that works; return its output."""
    done = convert(*arguments, directory=directory)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def refuse(*arguments: str | Path, directory: Path, prefix: tuple[str, ...] = ()) -> str:
    """Run a conversion that is refused; return its one line of error output."""
    done = convert(*arguments, directory=directory, prefix=prefix)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return done.stderr.rstrip()


def scratch_directories(out: Path) -> list[Path]:
    """Return the scratch directories that conversions have left behind."""
    return [path for path in (out / ".work").iterdir() if path.is_dir()]

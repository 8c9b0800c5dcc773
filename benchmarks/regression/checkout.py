"""The two sides: folders with the code of a commit."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.children import environment_without_settings
from benchmarks.errors import BenchmarkError

_OF_THIS_PROCESS = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
MAIN = "origin/main"


@dataclass(frozen=True, slots=True)
class Checkout:
    """One side: its code, and where its byte code is kept."""

    directory: Path
    cache: Path  # of byte code: written by the first process, so that no import compiles again

    def environment(self) -> dict[str, str]:
        """Return the environment of its processes: equal on both sides but for the byte code."""
        others = {
            name: value
            for name, value in environment_without_settings().items()
            if name not in _OF_THIS_PROCESS
        }
        return {
            **others,
            "ORT_DISABLE_TELEMETRY": "1",
            "PYTHONHASHSEED": "0",
            "PYTHONPYCACHEPREFIX": str(self.cache),
            "SLIPWAY_ALLOW_SEEDED": "1",
            "SLIPWAY_CACHE": "none",  # an answer that was stored says nothing of its computation
        }


def checkout_at(directory: Path, cache: Path) -> Checkout:
    """Return a side.

    Raises:
        BenchmarkError: the folder does not hold the project.
    """
    if not (directory / "runtime" / "model.py").is_file():
        raise BenchmarkError(f"{directory} is no checkout: runtime/model.py is missing")
    return Checkout(directory.resolve(), cache)


@contextmanager
def merge_base(head: Path, main: str = MAIN) -> Iterator[Path]:
    """Check out where a branch left the main one, until the block ends.

    Args:
        head: a git checkout.
        main: the name of the main branch.

    Raises:
        BenchmarkError: git knows no common commit.
    """
    commit = git(head, "merge-base", "HEAD", main)
    with tempfile.TemporaryDirectory(prefix="slipway-base-") as folder:
        place = Path(folder, "base")
        git(head, "worktree", "add", "--quiet", "--detach", str(place), commit)
        try:
            yield place
        finally:
            git(head, "worktree", "remove", "--force", str(place))


def git(directory: Path, *arguments: str) -> str:
    """Run git in a checkout and return its output.

    Raises:
        BenchmarkError: it fails; quotes its message.
    """
    done = subprocess.run(
        ["git", "-C", str(directory), *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise BenchmarkError(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()

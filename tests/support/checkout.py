"""Copies of the checkout, in which tests may write files and make edits."""

import shutil
import subprocess
from pathlib import Path

PROJECT = Path(__file__).parents[2]
ENVIRONMENTS = (".venv", ".venv-convert")


def copy_of_checkout(target: Path) -> Path:
    """Copy the files that git tracks or would track, and link the environments."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (PROJECT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, target / name)
    for name in ENVIRONMENTS:
        (target / name).symlink_to(PROJECT / name)
    return target

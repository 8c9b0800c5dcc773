"""Weights in installed Python packages: located and verified, without importing the package."""

from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from convert.errors import CheckpointError
from convert.sources import Expected, PackageSource


def find_installed(source: PackageSource) -> Path | None:
    """Return the verified file or folder of a package; None if the package is not installed.

    Raises:
        CheckpointError: a file is missing, or has another SHA-256 than the recipe pins.
    """
    installed = _distribution(source)
    if installed is None:
        return None
    for name, sha256 in source.hashes.items():
        path = Path(str(installed.locate_file(name)))
        mismatch = Expected(sha256=sha256).mismatch(path) if path.is_file() else "missing"
        if mismatch:
            raise CheckpointError(
                f"{path}: {mismatch}; needed: that of {source.package}=={source.version}, "
                f"installed: {installed.version}; install requirements/weights.txt again"
            )
    return Path(str(installed.locate_file(source.path)))


def is_installed(source: PackageSource) -> bool:
    """Return whether the package is installed, in whatever version."""
    return _distribution(source) is not None


def _distribution(source: PackageSource) -> Distribution | None:
    try:
        return distribution(source.package)  # reads its metadata alone
    except PackageNotFoundError:
        return None

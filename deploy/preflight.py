"""Load every artifact as the server would and say what it is; the last step of an image build.

Usage: python3 -m deploy.preflight. Reads SLIPWAY_ARTIFACTS (default: artifacts). Exit code 1 where
there is no artifact or one is refused: an image that cannot serve is not built.
"""

import os
import sys
from pathlib import Path

from runtime import Model, load
from runtime.errors import ArtifactError


def model_directories(artifacts: Path) -> list[Path]:
    """Directories under artifacts that hold at least one complete version, by name.

    Raises:
        ArtifactError: there is none.
    """
    found = sorted({manifest.parent.parent for manifest in artifacts.glob("*/*/manifest.json")})
    if not found:
        raise ArtifactError(f"{artifacts} holds no artifact; make one first: make convert")
    return found


def describe(model: Model) -> str:
    """One line: id, version, precision and origin of the weights."""
    manifest = model.manifest
    return (
        f"{manifest.id}/{manifest.version}: {model.variant.name}, {manifest.weights.origin} weights"
    )


def main(artifacts: Path) -> str | None:
    """Print a line per model; the reason to stop, or None."""
    try:
        for directory in model_directories(artifacts):
            print(describe(load(directory)))
    except ArtifactError as error:
        return str(error)
    return None


if __name__ == "__main__":
    sys.exit(main(Path(os.environ.get("SLIPWAY_ARTIFACTS", "artifacts"))))

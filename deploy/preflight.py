"""Load every artifact as the server does: the last step of an image build.

Usage: python3 -m deploy.preflight. Reads SLIPWAY_ARTIFACTS (default: artifacts) and prints a line
per model. The exit code is 1 if there is no artifact or one is invalid, which stops the build of an
image that could not serve.
"""

import os
import sys
from pathlib import Path

from runtime import Model, load
from runtime.errors import ArtifactError


def model_directories(artifacts: Path) -> list[Path]:
    """Return the directories below `artifacts` with a complete version, sorted by name.

    Raises:
        ArtifactError: there is none.
    """
    directories = {manifest.parent.parent for manifest in artifacts.glob("*/*/manifest.json")}
    if not directories:
        raise ArtifactError(f"{artifacts} holds no artifact; make one first: make convert")
    return sorted(directories)


def describe(model: Model) -> str:
    """Return a line with id, version, variant and origin of the weights."""
    manifest = model.manifest
    return (
        f"{manifest.id}/{manifest.version}: {model.variant.name}, {manifest.weights.origin} weights"
    )


def main(artifacts: Path) -> str | None:
    """Print a line per model; return the reason to stop, or None."""
    try:
        for directory in model_directories(artifacts):
            print(describe(load(directory)))
    except ArtifactError as error:
        return str(error)
    return None


if __name__ == "__main__":
    sys.exit(main(Path(os.environ.get("SLIPWAY_ARTIFACTS", "artifacts"))))

"""Assets are verified when a model is loaded."""

from pathlib import Path

import pytest

import runtime
from runtime.errors import ArtifactError
from tests.support.artifacts import GAIT, TEXT, write_artifact


@pytest.mark.parametrize(("graph", "name"), [(TEXT, "vocab.txt"), (GAIT, "conditions.npz")])
def test_changed_and_missing_assets_are_refused(tmp_path: Path, graph: str, name: str) -> None:
    directory = write_artifact(tmp_path, graph)
    path = directory / name
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(ArtifactError, match=f"{name} has sha256"):
        runtime.load(directory)
    path.unlink()
    with pytest.raises(ArtifactError, match=f"{name} cannot be read"):
        runtime.load(directory)

"""Fixtures of more than one package."""

from pathlib import Path

import pytest

from tests.artifacts import (
    CLASSIFIER,
    DETECTOR,
    EMBEDDING,
    SEGMENTATION,
    SLOW,
    TENSORS,
    write_artifact,
)


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with every tiny model, as `convert` would leave it. Read only."""
    root = tmp_path_factory.mktemp("artifacts")
    for graph in (CLASSIFIER, EMBEDDING, SEGMENTATION, DETECTOR, TENSORS, SLOW):
        write_artifact(root, graph)
    (root / "README.md").write_text("files are no models")
    (root / ".cache").mkdir()
    return root

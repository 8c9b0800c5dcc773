"""Fixtures for the tests of several packages."""

import os
import tempfile
from pathlib import Path

import pytest

from tests.support.artifacts import (
    CLASSIFIER,
    DETECTOR,
    EMBEDDING,
    SEGMENTATION,
    SLOW,
    TENSORS,
    write_artifact,
)

# tests use neither the network nor the download cache of this machine; their processes inherit this
os.environ["SLIPWAY_OFFLINE"] = "1"
os.environ["XDG_CACHE_HOME"] = str(Path(tempfile.gettempdir(), "slipway-tests-without-a-cache"))


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write every tiny model as `convert` does. Tests only read the directory."""
    root = tmp_path_factory.mktemp("artifacts")
    for graph in (CLASSIFIER, EMBEDDING, SEGMENTATION, DETECTOR, TENSORS, SLOW):
        write_artifact(root, graph)
    (root / "README.md").write_text("files are no models")
    (root / ".cache").mkdir()
    return root

"""Fixtures for the tests of several packages."""

import gc
import os
import tempfile
from collections.abc import Iterator
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
from tests.support.registry import DockerRegistry, Gate, docker_registry, gate_before

# tests use neither the network nor the download cache of this machine; their processes inherit this
os.environ["SLIPWAY_OFFLINE"] = "1"
os.environ["XDG_CACHE_HOME"] = str(Path(tempfile.gettempdir(), "slipway-tests-without-a-cache"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files with slow tests first: a parallel run then ends with short ones."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """Exempt modules and tests from garbage collection: servers of tests collect very often.

    A server measures the memory of each model that it loads, which would take a second in all.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write every tiny model as `convert` does. Tests only read the directory."""
    root = tmp_path_factory.mktemp("artifacts")
    for graph in (CLASSIFIER, EMBEDDING, SEGMENTATION, DETECTOR, TENSORS, SLOW):
        write_artifact(root, graph)
    (root / "README.md").write_text("files are no models")
    (root / ".cache").mkdir()
    return root


@pytest.fixture(scope="module")
def running_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    """Return a docker-registry for the tests of a module."""
    with docker_registry(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.fixture
def gate(running_registry: DockerRegistry) -> Iterator[Gate]:
    """Return a gate before the registry."""
    with gate_before(running_registry) as gate:
        yield gate

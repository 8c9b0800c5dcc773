"""One docker-registry for all tests of the folder, and a gate before it for each."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.registry import DockerRegistry, Gate, docker_registry, gate_before


@pytest.fixture(scope="package")
def running_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    with docker_registry(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.fixture
def gate(running_registry: DockerRegistry) -> Iterator[Gate]:
    with gate_before(running_registry) as gate:
        yield gate


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    """Return a directory for artifacts that are sent."""
    return tmp_path / "artifacts"

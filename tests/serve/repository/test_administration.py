"""Models are withdrawn and reinstated, whatever state they are in."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime import Model
from runtime.errors import ArtifactError, UnavailableError
from serve.repository.load_version import load_version
from serve.repository.models import ModelRepository
from serve.repository.readiness import missing_models
from serve.repository.scan import Version, list_models
from serve.repository.status import ModelState
from serve.settings.kinds import Selection
from tests.support.artifacts import CLASSIFIER, write_artifact

MODEL = "face_emotion_xception"
ALL, NAMED = Selection(every=True), Selection((MODEL,))


class Loader:
    """A loader that waits while its gate is shut, and fails if it shall."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.begun = threading.Semaphore(0)
        self.count = 0
        self.fails = False
        self.gate.set()

    def __call__(self, version: Version) -> Model:
        self.count += 1
        self.begun.release()
        assert self.gate.wait(60)
        if self.fails:
            raise ArtifactError("the disk is gone")
        return load_version(version, threads=1)


@pytest.fixture
def loader() -> Loader:
    return Loader()


@pytest.fixture
def repository(tmp_path: Path, loader: Loader) -> Iterator[ModelRepository]:
    write_artifact(tmp_path, CLASSIFIER)
    repository = ModelRepository(list_models(tmp_path, allow_seeded=False).entries, loader)
    yield repository
    loader.gate.set()
    repository.close()


def settle(repository: ModelRepository) -> None:
    """Wait for what the loader was told before."""
    repository.start().result(60)


def test_a_withdrawn_model_is_not_loaded_by_a_look_up(
    repository: ModelRepository, loader: Loader
) -> None:
    settle(repository)
    for _ in range(2):
        repository.withdraw(MODEL)
    assert repository.status(MODEL).state is ModelState.WITHDRAWN
    assert repository.loaded(MODEL) is None
    assert list(repository) == []
    with pytest.raises(UnavailableError, match="was unloaded"):
        repository[MODEL]
    assert loader.count == 1
    assert missing_models(repository, ALL) == {}
    assert "was unloaded" in missing_models(repository, NAMED)[MODEL]


def test_a_model_comes_back_once(repository: ModelRepository, loader: Loader) -> None:
    settle(repository)
    first = repository[MODEL]
    repository.withdraw(MODEL)
    for _ in range(2):
        repository.reinstate(MODEL)
    second = repository[MODEL]
    repository.reinstate(MODEL)
    settle(repository)
    assert second is not first
    assert repository[MODEL] is second
    assert loader.count == 2


def test_a_model_that_is_withdrawn_while_it_loads_stays_away(
    repository: ModelRepository, loader: Loader
) -> None:
    loader.gate.clear()
    repository.start()
    assert loader.begun.acquire(timeout=60)
    repository.withdraw(MODEL)
    loader.gate.set()
    settle(repository)
    assert repository.status(MODEL).state is ModelState.WITHDRAWN
    with pytest.raises(UnavailableError, match="was unloaded"):
        repository[MODEL]


def test_a_model_that_is_withdrawn_before_its_load_begins_is_not_loaded(
    repository: ModelRepository, loader: Loader
) -> None:
    repository.withdraw(MODEL)
    settle(repository)
    assert (loader.count, repository.status(MODEL).state) == (0, ModelState.WITHDRAWN)
    repository.reinstate(MODEL)
    repository.withdraw(MODEL)
    repository.reinstate(MODEL)
    assert repository[MODEL].spec.id == MODEL
    settle(repository)
    assert loader.count <= 2


def test_a_load_that_waited_for_the_loader_finds_the_model_withdrawn(
    repository: ModelRepository, loader: Loader
) -> None:
    loader.gate.clear()
    repository.start()
    assert loader.begun.acquire(timeout=60)
    repository.withdraw(MODEL)
    repository.reinstate(MODEL)  # waits for the loader, which is busy
    repository.withdraw(MODEL)
    loader.gate.set()
    settle(repository)
    assert (loader.count, repository.status(MODEL).state) == (1, ModelState.WITHDRAWN)


def test_a_failed_model_is_tried_again(repository: ModelRepository, loader: Loader) -> None:
    loader.fails = True
    settle(repository)
    assert repository.status(MODEL).state is ModelState.FAILED
    repository.reinstate(MODEL)
    with pytest.raises(UnavailableError, match="the disk is gone"):
        repository[MODEL]
    loader.fails = False
    settle(repository)
    repository.reinstate(MODEL)
    assert repository[MODEL].spec.id == MODEL
    assert repository.status(MODEL).refused == {}

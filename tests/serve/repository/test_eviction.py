"""Models are unloaded while nobody uses them, and loaded again by the next request."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runtime import Model
from runtime.errors import UnavailableError
from serve.repository.eviction import evicting_idle
from serve.repository.load_version import load_version
from serve.repository.measured_load import MeasuredLoad
from serve.repository.memory.budget import MIB, Limit, Usage
from serve.repository.memory.keeper import MemoryKeeper
from serve.repository.models import ModelRepository
from serve.repository.readiness import missing_models
from serve.repository.scan import Version, list_models
from serve.repository.status import ModelState
from serve.settings.kinds import Selection
from tests.support.artifacts import CLASSIFIER, EMBEDDING, write_artifact

XCEPTION, MOBILENET = "face_emotion_xception", "image_embedding_mobilenetv2"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_artifact(tmp_path, CLASSIFIER)
    write_artifact(tmp_path, EMBEDDING)
    return tmp_path


class Loads:
    """Loads versions and counts."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    def __call__(self, version: Version) -> Model:
        self.ids.append(version.manifest.id)
        return load_version(version, threads=1)


@contextmanager
def opened(
    root: Path, load: Loads, memory: MemoryKeeper | None = None, lazy: bool = False
) -> Iterator[ModelRepository]:
    entries = list_models(root, allow_seeded=False).entries
    memory = memory or MemoryKeeper()
    repository = ModelRepository(
        entries, MeasuredLoad(load, memory), memory=memory, is_lazy=lambda _: lazy, wait_s=20
    )
    repository.start().result()
    try:
        yield repository
    finally:
        repository.close()


def test_an_evicted_model_is_loaded_by_the_next_request(root: Path) -> None:
    load = Loads()
    with opened(root, load) as repository:
        assert repository.eviction.evict(f"{XCEPTION}/1")
        assert not repository.eviction.evict(f"{XCEPTION}/1")
        assert repository.status(XCEPTION).state is ModelState.UNLOADED
        assert missing_models(repository, Selection(every=True)) == {}
        assert repository.eviction.resident() == [f"{MOBILENET}/1"]
        assert repository[XCEPTION].spec.id == XCEPTION
        assert load.ids.count(XCEPTION) == 2
        assert repository.memory.ledger.cost(f"{XCEPTION}/1") is not None


def test_many_requests_for_an_evicted_model_load_it_once(root: Path) -> None:
    load = Loads()
    with opened(root, load) as repository:
        repository.eviction.evict_all()
        threads = [threading.Thread(target=lambda: repository[XCEPTION]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert load.ids.count(XCEPTION) == 2


def test_a_model_in_use_is_not_evicted(root: Path) -> None:
    with opened(root, Loads()) as repository:
        model, give_back = repository.lend(XCEPTION)
        assert repository.eviction.evictable() == [f"{MOBILENET}/1"]
        assert not repository.eviction.evict(f"{XCEPTION}/1")
        assert repository[XCEPTION] is model
        give_back()
        assert repository.eviction.evict_all() == [MOBILENET, XCEPTION]


def test_the_least_recently_used_is_the_first_to_go(root: Path) -> None:
    with opened(root, Loads()) as repository:
        for name in (XCEPTION, MOBILENET, XCEPTION):
            repository.lend(name)[1]()
        assert repository.eviction.evictable() == [f"{MOBILENET}/1", f"{XCEPTION}/1"]
        assert repository[MOBILENET]
        assert repository.eviction.evictable() == [f"{XCEPTION}/1", f"{MOBILENET}/1"]


def test_an_idle_model_is_evicted_and_one_in_use_is_not(root: Path) -> None:
    with opened(root, Loads()) as repository:
        _, give_back = repository.lend(XCEPTION)
        with evicting_idle(repository.eviction, 0.1):
            deadline_s = time.monotonic() + 20
            while repository.eviction.resident() != [f"{XCEPTION}/1"]:
                assert time.monotonic() < deadline_s
                time.sleep(0.01)
            give_back()
            while repository.eviction.resident():
                assert time.monotonic() < deadline_s
                time.sleep(0.01)


def test_without_an_idle_time_nothing_is_evicted(root: Path) -> None:
    with opened(root, Loads()) as repository, evicting_idle(repository.eviction, 0):
        time.sleep(0.3)
        assert len(repository.eviction.resident()) == 2


def test_a_model_that_finds_no_room_is_left_and_not_refused(root: Path) -> None:
    used_mib = 0
    limit = Limit("test", 256 * MIB, lambda: used_mib * MIB)
    memory = MemoryKeeper([limit], base_bytes=0, usage=lambda: Usage(0, 0))
    load = Loads()
    with opened(root, load, memory, lazy=True) as repository:
        used_mib = 300
        with pytest.raises(UnavailableError, match=f"loading {XCEPTION}/1 needs about"):
            repository[XCEPTION]
        assert repository.status(XCEPTION).state is ModelState.UNLOADED
        assert repository.status(XCEPTION).refused == {}
        assert load.ids == []
        used_mib = 0
        assert repository[XCEPTION].spec.id == XCEPTION


def test_at_the_start_nothing_is_evicted_for_another(root: Path) -> None:
    loaded: list[str] = []
    # after the first load there is no room
    limit = Limit("test", 256 * MIB, lambda: 200 * MIB * bool(loaded))
    with opened(
        root,
        loads := Loads(),
        MemoryKeeper([limit], base_bytes=0, usage=lambda: Usage(0, 0)),
        lazy=True,
    ):
        assert loads.ids == []
    memory = MemoryKeeper([limit], base_bytes=0, usage=lambda: Usage(0, 0))

    class First(Loads):
        def __call__(self, version: Version) -> Model:
            loaded.append(version.manifest.id)
            return super().__call__(version)

    with opened(root, First(), memory) as repository:
        states = {name: repository.status(name).state for name in repository.ids}
        assert sorted(states.values()) == [ModelState.READY, ModelState.UNLOADED]
        assert missing_models(repository, Selection(every=True)) == {}
        other = next(name for name, state in states.items() if state is ModelState.UNLOADED)
        with pytest.raises(UnavailableError):
            repository[other]  # 200 MiB of others' stay
        assert f"{loaded[0]}/1" not in repository.eviction.resident()  # now it may go

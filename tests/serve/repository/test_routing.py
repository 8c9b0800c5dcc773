"""Versions change while the models serve: what loads, what answers, and what is kept in memory."""

import asyncio
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import pytest

from runtime import Model
from runtime.engine.session import Session
from runtime.errors import UnavailableError
from serve.repository.load_version import load_version
from serve.repository.measured_load import MeasuredLoad
from serve.repository.memory.keeper import MemoryKeeper
from serve.repository.models import ModelRepository
from serve.repository.reload import Reloader, watching
from serve.repository.route_status import RouteJson, describe_route
from serve.repository.scan import Version, list_models
from serve.repository.status import ModelState
from serve.routing.choice import Choice
from serve.routing.commands import Change, apply_change
from serve.routing.store import RoutingFile
from tests.serve.repository.test_models import change_golden, cut_manifest, damage_weights
from tests.support.artifacts import CLASSIFIER, EMBEDDING, steeper, write_artifact

MODEL, OTHER = "face_emotion_xception", "image_embedding_mobilenetv2"
ANYONE = Choice.of("anyone")


class Loads:
    """Loads versions, one by one; waits while its gate is shut."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.gate, self.begun = threading.Event(), threading.Semaphore(0)
        self.gate.set()
        self.room_for_one = False
        self.loaded = list[weakref.ref[Session]]()

    def __call__(self, version: Version) -> Model:
        if version.manifest.id == MODEL:
            self.numbers.append(version.manifest.version)
            self.begun.release()
            assert self.gate.wait(60)
        if self.room_for_one and any(session() for session in self.loaded):
            raise UnavailableError("no room")
        model = load_version(version, threads=1)
        self.loaded.append(weakref.ref(model.session))
        return model


class World:
    """A directory of artifacts and a repository that follows it."""

    def __init__(self, root: Path, *, lazy: bool = False) -> None:
        self.root, self.loads, self.lines = root, Loads(), list[str]()
        listing = list_models(root, allow_seeded=False)
        memory = MemoryKeeper()
        self.repository = ModelRepository(
            listing.entries,
            MeasuredLoad(self.loads, memory),
            routing=RoutingFile(root).read(),
            is_lazy=lambda _: lazy,
            wait_s=20,
            report=self.lines.append,
            memory=memory,
        )
        self.reloader = Reloader(self.repository, root, allow_seeded=False)
        self.repository.start().result(60)
        self.reloader.follow().result(60)

    def change(self, command: str, version: int | None = None, share: float | None = None) -> None:
        apply_change(self.reloader.file, Change(command, MODEL, version, share))
        self.reloader.follow().result(60)

    def served(self, choice: Choice | None = None) -> int:
        model, give_back = self.repository.lend(MODEL, choice)
        give_back()
        return model.manifest.version

    @property
    def route(self) -> RouteJson:
        return describe_route(self.repository, MODEL)

    def resident(self) -> list[str]:
        return sorted(self.repository.eviction.resident())


def version(root: Path, number: int) -> Path:
    return write_artifact(root, CLASSIFIER, version=number, data=steeper(number))


@contextmanager
def opened(root: Path, *, lazy: bool = False) -> Iterator[World]:
    world = World(root, lazy=lazy)
    try:
        yield world
    finally:
        world.loads.gate.set()
        world.repository.close()


def test_a_version_that_is_dropped_in_serves_after_a_reload(tmp_path: Path) -> None:
    version(tmp_path, 1)
    with opened(tmp_path) as world:
        version(tmp_path, 2)
        write_artifact(tmp_path, EMBEDDING)
        world.reloader.follow().result(60)  # routing.json alone
        assert (world.served(), world.repository.ids) == (1, (MODEL,))
        world.reloader.reload().result(60)
        assert (world.served(), world.repository.ids) == (2, (MODEL, OTHER))
        assert world.repository[OTHER].spec.id == OTHER
        assert world.resident() == [f"{MODEL}/2", f"{OTHER}/1"]  # version 1 is gone
        before = list(world.loads.numbers)
        world.reloader.reload().result(60)
        assert world.loads.numbers == before  # what serves is not loaded again


@pytest.mark.parametrize("damage", [damage_weights, cut_manifest, change_golden])
def test_a_bad_version_never_serves_and_the_old_one_goes_on(
    tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    version(tmp_path, 1)
    with opened(tmp_path) as world:
        damage(version(tmp_path, 2))
        world.reloader.reload().result(60)
        assert (world.served(), world.resident()) == (1, [f"{MODEL}/1"])
        assert list(world.repository.status(MODEL).refused) == [2]


def test_a_route_to_a_bad_version_is_not_followed_and_says_why(tmp_path: Path) -> None:
    for number in (1, 2):
        version(tmp_path, number)
    damage_weights(version(tmp_path, 3))
    with opened(tmp_path) as world:
        assert world.served() == 2
        world.change("candidate", 3, 0.5)
        candidate = world.route["candidate"]
        assert candidate is not None
        assert candidate["state"] == "failed"
        assert "float.onnx has sha256" in candidate["reason"]
        assert all(world.served(Choice.of(str(number))) == 2 for number in range(20))
        with pytest.raises(UnavailableError, match=r"candidate of model .* is not served"):
            world.served(Choice.of(None, 3))
        world.change("default", 3)
        assert world.served() == 2
        assert "version 3 is refused: " in world.route["problem"]
        world.repository.eviction.evict_all()
        assert world.served() == 2  # and is what the next request loads
        world.change("rollback")
        assert "problem" not in world.route


def test_a_pin_is_of_a_digest(tmp_path: Path) -> None:
    for number in (1, 2):
        version(tmp_path, number)
    with opened(tmp_path) as world:
        world.change("default", 1)
        assert world.served() == 1
    for path in (tmp_path / MODEL / "1").iterdir():
        path.unlink()
    (tmp_path / MODEL / "1").rmdir()
    write_artifact(tmp_path, CLASSIFIER, version=1, data=steeper(11))
    with opened(tmp_path) as world:
        with pytest.raises(UnavailableError, match=r"routing\.json pins"):
            world.served()
        assert "routing.json pins" in world.route["problem"]


def test_at_the_start_an_older_version_serves_in_place_of_a_bad_default(tmp_path: Path) -> None:
    for number in (1, 3):
        version(tmp_path, number)
    change_golden(version(tmp_path, 2))
    apply_change(RoutingFile(tmp_path), Change("default", MODEL, 2))
    for lazy in (False, True):
        with opened(tmp_path, lazy=lazy) as world:
            assert world.served() == 1  # never 3, which nobody chose
            assert "golden output" in world.route["problem"]


def test_a_candidate_answers_its_share_and_those_who_name_it(tmp_path: Path) -> None:
    for number in (1, 2):
        version(tmp_path, number)
    with opened(tmp_path) as world:
        world.change("default", 1)
        world.change("candidate", 2, 0.25)
        choices = [Choice.of(f"user-{number}") for number in range(400)]
        served = [world.served(choice) for choice in choices]
        assert 65 <= served.count(2) <= 135  # four standard deviations
        assert served == [world.served(choice) for choice in choices]
        assert world.served() == 1  # a look-up of no request
        assert world.served(Choice.of(None, 2)) == 2
        assert world.resident() == [f"{MODEL}/1", f"{MODEL}/2"]
        world.change("candidate", 2, 0.0)
        assert {world.served(choice) for choice in choices} == {1}
        assert world.served(Choice.of(None, 2)) == 2
        world.change("promote")
        assert world.served() == 2
        assert world.resident() == [f"{MODEL}/2"]
        assert world.loads.numbers.count(2) == 2  # at the start, and as the candidate: not again
        world.change("rollback")
        assert (world.served(), world.resident()) == (1, [f"{MODEL}/1"])


def test_a_candidate_with_other_tensors_gets_no_tensors(tmp_path: Path) -> None:
    data = steeper(2).replace(b'"N",8,8,1]', b'"M",8,8,1]')  # a batch axis of another name
    version(tmp_path, 1)
    with opened(tmp_path) as world:
        write_artifact(tmp_path, CLASSIFIER, version=2, data=data)
        world.change("default", 1)
        world.change("candidate", 2, 1.0)
        assert world.served(ANYONE) == 2
        assert world.served(Choice(b"", needs_same_tensors=True)) == 1
        assert world.served(Choice(b"", 2, needs_same_tensors=True)) == 2


def test_a_running_request_keeps_its_version_and_the_memory_goes_with_it(tmp_path: Path) -> None:
    version(tmp_path, 1)
    with opened(tmp_path) as world:
        model, give_back = world.repository.lend(MODEL, ANYONE)
        version(tmp_path, 2)
        world.reloader.reload().result(60)
        assert (world.served(), model.manifest.version) == (2, 1)
        assert world.resident() == [f"{MODEL}/1", f"{MODEL}/2"]
        assert f"{MODEL}/1" not in world.repository.eviction.evictable()
        give_back()
        assert world.resident() == [f"{MODEL}/2"]


def test_the_old_version_answers_while_the_new_one_loads(tmp_path: Path) -> None:
    version(tmp_path, 1)
    with opened(tmp_path) as world:
        version(tmp_path, 2)
        world.loads.gate.clear()
        world.loads.begun.acquire(timeout=1)
        reload = world.reloader.reload()
        assert world.loads.begun.acquire(timeout=60)
        assert world.served() == 1
        assert not reload.done()
        world.loads.gate.set()
        reload.result(60)
        assert world.served() == 2


def test_who_waits_for_an_evicted_version_gets_the_one_that_replaces_it(tmp_path: Path) -> None:
    version(tmp_path, 1)
    with opened(tmp_path) as world:
        version(tmp_path, 2)
        world.loads.begun.acquire(timeout=1)
        world.repository.eviction.evict_all()
        world.loads.gate.clear()
        reload = world.reloader.reload()
        assert world.loads.begun.acquire(timeout=60)  # version 2 is loading
        numbers: list[int] = []
        threads = [threading.Thread(target=lambda: numbers.append(world.served()))]
        threads += [
            threading.Thread(
                target=lambda: numbers.append(
                    asyncio.run(world.repository.wait_for(MODEL)).manifest.version
                )
            )
        ]
        for thread in threads:
            thread.start()
        deadline_s = time.monotonic() + 20
        while world.repository.status(MODEL).state is not ModelState.LOADING:
            assert time.monotonic() < deadline_s
        world.loads.gate.set()
        reload.result(60)
        for thread in threads:
            thread.join(60)
        assert numbers == [2, 2]
        assert world.loads.numbers == [1, 2]


def test_a_version_that_is_replaced_before_it_is_lent_is_not_lent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version(tmp_path, 1)
    with opened(tmp_path) as world:
        version(tmp_path, 2)
        wait = world.repository._wait

        def replaced_meanwhile(load: Future[Model], model_id: str) -> Model:
            model = wait(load, model_id)
            world.reloader.reload().result(60)
            return model

        monkeypatch.setattr(world.repository, "_wait", replaced_meanwhile)
        assert world.served() == 2


def test_where_memory_holds_one_version_it_is_unloaded_before_the_next(tmp_path: Path) -> None:
    version(tmp_path, 1)
    with opened(tmp_path) as world:
        world.loads.room_for_one = True
        version(tmp_path, 2)
        model, give_back = world.repository.lend(MODEL)
        reload = world.reloader.reload()
        wait_for_line(world, "the memory does not hold two versions")
        deadline_s = time.monotonic() + 20
        while world.repository.loaded(MODEL):
            assert time.monotonic() < deadline_s
        with pytest.raises(UnavailableError, match="the memory does not hold both; try again"):
            world.served()
        assert not reload.done()  # the request that has version 1 is waited for
        del model
        give_back()
        reload.result(60)
        assert (world.served(), world.resident()) == (2, [f"{MODEL}/2"])


def test_a_bad_version_that_needs_the_memory_of_the_old_one_gives_it_back(tmp_path: Path) -> None:
    version(tmp_path, 1)
    with opened(tmp_path) as world:
        world.loads.room_for_one = True
        change_golden(version(tmp_path, 2))
        world.reloader.reload().result(60)
        assert (world.served(), world.resident()) == (1, [f"{MODEL}/1"])
        assert "golden output" in world.repository.status(MODEL).refused[2]


def test_a_version_in_use_for_too_long_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve.repository.exchange.DRAIN_S", 0.05)
    version(tmp_path, 1)
    with opened(tmp_path) as world:
        world.loads.room_for_one = True
        version(tmp_path, 2)
        model, give_back = world.repository.lend(MODEL)
        world.reloader.reload().result(60)
        assert world.repository[MODEL] is model
        assert "was in use for 0.05 s" in world.route["problem"]
        del model
        give_back()
        world.reloader.reload().result(60)
        assert world.served() == 2
        assert "problem" not in world.route


def test_without_room_a_candidate_leaves_its_share_to_the_default(tmp_path: Path) -> None:
    for number in (1, 2):
        version(tmp_path, number)
    with opened(tmp_path) as world:
        world.change("default", 1)
        world.loads.room_for_one = True
        world.change("candidate", 2, 1.0)
        assert world.served(ANYONE) == 1
        with pytest.raises(UnavailableError, match="no room"):
            world.repository.lend(MODEL, Choice.of(None, 2))
        world.loads.room_for_one = False
        assert world.served(ANYONE) == 2


def test_both_versions_are_evicted_and_come_back(tmp_path: Path) -> None:
    for number in (1, 2):
        version(tmp_path, number)
    with opened(tmp_path) as world:
        world.change("default", 1)
        world.change("candidate", 2, 1.0)
        ledger = world.repository.memory.ledger
        assert ledger.cost(f"{MODEL}/1")
        assert ledger.cost(f"{MODEL}/2")
        assert world.repository.eviction.evict_all() == [MODEL]
        assert world.resident() == []
        assert world.served(ANYONE) == 2
        assert world.resident() == [f"{MODEL}/2"]
        assert world.served() == 1
        world.repository.withdraw(MODEL)
        assert world.resident() == []
        with pytest.raises(UnavailableError, match="was unloaded"):
            world.served(ANYONE)
        world.repository.reinstate(MODEL)
        assert (world.served(), world.served(ANYONE)) == (1, 2)


def test_a_lazy_model_is_checked_when_its_route_changes(tmp_path: Path) -> None:
    version(tmp_path, 1)
    with opened(tmp_path, lazy=True) as world:
        assert world.loads.numbers == []
        world.reloader.reload().result(60)
        assert world.loads.numbers == []  # nothing changed
        change_golden(version(tmp_path, 2))
        world.reloader.reload().result(60)
        assert world.loads.numbers == [2]
        assert (world.served(), world.resident()) == (1, [f"{MODEL}/1"])


def test_a_wrong_file_changes_nothing_and_is_told(tmp_path: Path) -> None:
    version(tmp_path, 1)
    with opened(tmp_path) as world:
        world.reloader.file.path.write_text('{"schema_version": 1, "models": []}')
        world.reloader.reload().result(60)
        assert world.served() == 1
        assert "routing.json.models is" in world.reloader.problem
        world.reloader.file.path.unlink()
        world.reloader.reload().result(60)
        assert world.reloader.problem == ""


def test_a_model_that_is_not_there_is_told(tmp_path: Path) -> None:
    version(tmp_path, 1)
    write_artifact(tmp_path, EMBEDDING)
    apply_change(RoutingFile(tmp_path), Change("default", OTHER, 1))
    (tmp_path / OTHER).rename(tmp_path / ".gone")
    with opened(tmp_path) as world:
        assert any(f"names '{OTHER}', which is not" in line for line in world.lines)


def test_a_change_of_the_file_is_followed(tmp_path: Path) -> None:
    for number in (1, 2):
        version(tmp_path, number)
    with opened(tmp_path) as world, watching(world.reloader, 0.02):
        apply_change(world.reloader.file, Change("default", MODEL, 1))
        deadline_s = time.monotonic() + 20
        while world.served() != 1:
            assert time.monotonic() < deadline_s
            time.sleep(0.01)


def wait_for_line(world: World, text: str) -> None:
    deadline_s = time.monotonic() + 20
    while not any(text in line for line in world.lines):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)

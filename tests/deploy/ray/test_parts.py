"""The front and the replicas of a model without Ray: the replicas are objects of this process."""

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
import uvicorn

from deploy.ray.busy import Busy, CpuTime
from deploy.ray.front import Front, load_remote
from deploy.ray.graph import Graph, Loaded
from deploy.ray.policy import QueueSeconds
from runtime.engine.cancellation import Cancellation
from runtime.engine.session import Feeds, Outputs
from runtime.errors import ArtifactError, UnavailableError
from serve.repository.scan import list_models
from serve.settings import Settings
from tests.serve.support.server import running
from tests.support.artifacts import (
    CLASSIFIER,
    EMOTIONS,
    FACES,
    SLOW,
    TENSORS,
    slower,
    write_artifact,
)
from tests.support.images import half_white, png, solid

GRAPHS = (CLASSIFIER, EMOTIONS, FACES, TENSORS)


@dataclass(frozen=True, slots=True)
class Local:
    """The replicas of one model: one object, asked as Ray asks it."""

    graph: Graph

    def describe(self, version: int) -> Loaded:
        return asyncio.run(self.graph.describe(version))

    def run(
        self, version: int, feeds: Feeds, names: Sequence[str], cancellation: Cancellation
    ) -> Outputs:
        cancellation.check()
        return asyncio.run(self.graph.run(version, feeds, names))


@dataclass(slots=True)
class Failing:
    """Replicas that end, or answer otherwise than they were verified."""

    local: Local
    fails: bool = False
    added: float = 0.0  # to each value

    def describe(self, version: int) -> Loaded:
        return self.local.describe(version)

    def run(
        self, version: int, feeds: Feeds, names: Sequence[str], cancellation: Cancellation
    ) -> Outputs:
        if self.fails:
            raise UnavailableError("no replica of it answers", reason="model")
        outputs = self.local.run(version, feeds, names, cancellation)
        return {name: np.asarray(array, np.float64) + self.added for name, array in outputs.items()}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    for graph in GRAPHS:
        write_artifact(tmp_path, graph)
    return Settings(artifacts=tmp_path, max_batch=1)


def replicas_of(settings: Settings) -> dict[str, Local]:
    entries = list_models(settings.directory, allow_seeded=False).entries
    return {entry.id: Local(Graph(settings, entry.id)) for entry in entries}


@contextmanager
def serving(front: Front) -> Iterator[httpx.Client]:
    """Serve the application of a front in a thread, as an ASGI server that passes no state on."""
    server = uvicorn.Server(uvicorn.Config(front.application, port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


def test_answers_are_those_of_one_process(settings: Settings) -> None:
    replicas = replicas_of(settings)
    with running(settings) as one, serving(Front(settings, replicas)) as front:
        for data in (solid(255, 255, 255), png(half_white()), b"no picture"):
            for path in ("/v1/face-emotion", "/v1/models/face_detector_yunet"):
                expected, answer = one.post(path, content=data), front.post(path, content=data)
                assert (answer.status_code, answer.content) == (
                    expected.status_code,
                    expected.content,
                )
        assert front.get("/health/ready").status_code == 200
    busy = [local.graph.record_autoscaling_stats()["busy"] for local in replicas.values()]
    assert min(busy) > 0  # the detector and each voter ran in its own replica


def test_another_version_of_the_replicas_is_refused(settings: Settings) -> None:
    replicas = replicas_of(settings)
    (version,) = list_models(settings.directory, allow_seeded=False).entries[0].versions
    assert load_remote(version, replicas).session.provider == "cpu"
    changed = replace(version, manifest=replace(version.manifest, digest="0" * 64))
    with pytest.raises(ArtifactError, match="and that of the replicas is"):
        load_remote(changed, replicas)
    with pytest.raises(ArtifactError, match="was not there when the application was deployed"):
        load_remote(version, {})


def test_replicas_that_answer_otherwise_than_verified_are_refused(settings: Settings) -> None:
    (version,) = list_models(settings.directory, allow_seeded=False).entries[0].versions
    name = version.manifest.id
    local = Local(Graph(settings, name))
    load_remote(version, {name: Failing(local)})
    with pytest.raises(ArtifactError, match="golden output"):
        load_remote(version, {name: Failing(local, added=1.0)})


def test_a_version_that_is_not_there_and_one_that_came_later(settings: Settings) -> None:
    graph = Graph(settings, "face_emotion_xception")
    with pytest.raises(ArtifactError, match="has no version 2 of face_emotion_xception"):
        asyncio.run(graph.describe(2))
    write_artifact(settings.directory, CLASSIFIER, version=2)
    assert asyncio.run(graph.describe(2)).variant == "float"
    with pytest.raises(ArtifactError, match="has no model nothing"):
        Graph(settings, "nothing")


def test_no_replica_is_503(settings: Settings) -> None:
    name = "face_emotion_xception"
    replicas = replicas_of(settings)
    failing = Failing(replicas[name])
    with serving(Front(settings, {**replicas, name: failing})) as front:
        assert front.post(f"/v1/models/{name}", content=png(half_white())).status_code == 200
        failing.fails = True
        answer = front.post(f"/v1/models/{name}", content=png(half_white()))
    assert answer.status_code == 503
    assert answer.json() == {"error": "no replica of it answers"}


def test_a_call_that_is_cancelled_stops_the_run(tmp_path: Path) -> None:
    write_artifact(tmp_path, SLOW, data=slower(10))
    graph = Graph(Settings(artifacts=tmp_path), SLOW)
    feeds = {"image": np.full((1, 8, 8, 1), 255, np.uint8)}  # takes about ten seconds

    async def leave() -> float:
        name = next(iter(graph._model(1).spec.outputs)).name
        call = asyncio.create_task(graph.run(1, feeds, [name]))
        while not graph._busy.running:
            await asyncio.sleep(0.001)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        while graph._busy.running:
            await asyncio.sleep(0.001)
        return graph.record_autoscaling_stats()["service_s"]

    assert asyncio.run(leave()) < 5


def test_the_busy_slots_are_averaged_between_two_readings() -> None:
    times = iter([0.0, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0])
    busy = Busy(clock=lambda: next(times))
    with busy.run(), busy.run():  # from 1 and 2, until 5 and 3
        pass
    assert busy.read() == {"busy": pytest.approx(5.0 / 10), "service_s": pytest.approx(2.5)}
    assert busy.read()["busy"] == 0.0


def test_the_cpus_of_a_process() -> None:
    clock, cpu = iter([0.0, 10.0]), iter([1.0, 6.0])
    assert CpuTime(lambda: next(clock), lambda: next(cpu)).read()["busy"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("busy", "queued", "wanted"),
    [([0.5], 0.0, 1), ([0.9, 0.9], 0.0, 3), ([1.0], 2.0, 4), ([1.0], 0.5, 3), ([], 0.0, 1)],
)
def test_the_policy(busy: list[float], queued: float, wanted: int) -> None:
    context = SimpleNamespace(
        aggregated_metrics={
            "busy": dict(enumerate(busy)),
            "service_s": dict.fromkeys(range(len(busy)), 0.4),
        },
        total_queued_requests=queued,
        capacity_adjusted_min_replicas=1,
        capacity_adjusted_max_replicas=4,
    )
    policy = QueueSeconds(slots=1, utilisation=0.7, queue_s=0.25)
    assert policy(context) == (wanted, {})

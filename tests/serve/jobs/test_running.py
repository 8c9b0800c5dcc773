"""Jobs that are cancelled, and jobs beside requests that wait for their answers."""

import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from runtime.engine.session import Session
from runtime.errors import CancelledError
from runtime.media.isolation.pool import IsolatedDecoders
from serve.settings import Settings
from tests.runtime.support.recordings import shades, video
from tests.serve.jobs.support import TIMEOUT_S, accepted, ended, submit, until
from tests.serve.support.server import running
from tests.support.artifacts import CLASSIFIER, GAIT, SLOW, write_artifact
from tests.support.images import solid

FACE, SLOW_PATH = "/v1/models/face_emotion_xception", "/v1/models/tiny_slow"
BRIGHT, DARK = solid(255, 255, 255), solid(0, 0, 0)  # in tiny_slow: about a second, and no time
JOBS = 12


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    root: Path = tmp_path_factory.mktemp("artifacts")
    for graph in (CLASSIFIER, GAIT, SLOW):
        write_artifact(root, graph)
    with running(Settings(artifacts=root)) as client:
        yield client


class Runs:
    """The ends of graph runs, as they come: None, or the error."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ends: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        run = Session._run

        def watched(session: Session, *arguments: Any) -> Any:
            try:
                outputs = run(session, *arguments)
            except BaseException as error:
                self.ends.put(error)
                raise
            self.ends.put(None)
            return outputs

        monkeypatch.setattr(Session, "_run", watched)


def test_delete_ends_the_run_of_a_job_and_those_that_wait_never_run(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = Runs(monkeypatch)
    locations = [accepted(submit(client, SLOW_PATH, BRIGHT)) for _ in range(JOBS)]
    until(client, locations[0], "running")
    for location in reversed(locations):
        assert client.delete(location).status_code == 204
    assert isinstance(runs.ends.get(timeout=TIMEOUT_S), CancelledError)
    ended(client, accepted(submit(client, SLOW_PATH, DARK)))
    ends = [runs.ends.get(timeout=TIMEOUT_S)]
    while not runs.ends.empty():
        ends.append(runs.ends.get())
    completed = [end for end in ends if end is None]
    assert len(completed) == 1  # the dark one
    assert len(ends) <= 4  # beside it, what ran on each CPU


def test_a_request_that_waits_for_its_answer_comes_before_jobs(client: httpx.Client) -> None:
    locations = [accepted(submit(client, SLOW_PATH, BRIGHT)) for _ in range(JOBS)]
    for path in (FACE, SLOW_PATH):
        assert client.post(path, content=DARK).status_code == 200
    states = [client.get(location).json()["state"] for location in locations]
    assert states.count("queued") >= JOBS // 2
    for location in locations:
        client.delete(location)


def test_a_clip_in_a_job_is_decoded_as_long_as_the_job_may_take(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    timeouts_s: list[float] = []
    sample_frames = IsolatedDecoders.sample_frames

    def watched(decoders: IsolatedDecoders, *arguments: Any, **options: Any) -> Any:
        timeouts_s.append(decoders._timeout_s)
        timeouts_s.append(options["limits"].deadline_s)
        return sample_frames(decoders, *arguments, **options)

    monkeypatch.setattr(IsolatedDecoders, "sample_frames", watched)
    clip = video(shades([50] * 30), tmp_path)
    assert client.post("/v1/gait", content=clip).status_code == 200
    assert ended(client, accepted(submit(client, "/v1/gait", clip)))["state"] == "done"
    assert timeouts_s == [20, 20, 600, 600]

"""Deadlines, refusals, timings and clients that leave, over HTTP on a real server."""

import queue
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from runtime.engine.cancellation import Cancellation
from runtime.engine.resources import cpu_count
from runtime.engine.session import Session
from runtime.errors import CancelledError
from runtime.media.isolation.pool import IsolatedDecoders
from serve.settings import Settings
from tests.runtime.support.recordings import sound, tone
from tests.serve.support.server import running
from tests.support.artifacts import CLASSIFIER, SEGMENTATION, SLOW, TENSORS, VOICE, write_artifact
from tests.support.images import half_white, png, solid

TIMEOUT_S = 60  # a broken server fails a test after this instead of hanging it
SLOW_PATH, FAST_PATH = "/v1/models/tiny_slow", "/v1/models/face_emotion_xception"
BRIGHT, DARK = solid(255, 255, 255), solid(0, 0, 0)  # in tiny_slow: about a second, and no time


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("artifacts")
    for graph in (CLASSIFIER, SEGMENTATION, SLOW, TENSORS, VOICE):
        write_artifact(root, graph)
    return root


@pytest.fixture(scope="module")
def client(root: Path) -> Iterator[httpx.Client]:
    with running(Settings(artifacts=root)) as client:
        yield client


class Runs:
    """Graph runs that wait for the test, and how they ended."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.ends: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        run = Session._run

        def watched(session: Session, *arguments: Any) -> Any:
            self.begun.put(None)
            try:
                outputs = run(session, *arguments)
            except BaseException as error:
                self.ends.put(error)
                raise
            self.ends.put(None)
            return outputs

        monkeypatch.setattr(Session, "_run", watched)


@contextmanager
def sending(client: httpx.Client, path: str, body: bytes) -> Iterator[socket.socket]:
    """Send a request and leave without reading the answer when the block ends."""
    url = client.base_url
    with socket.create_connection((url.host, url.port or 80), timeout=TIMEOUT_S) as connection:
        head = f"POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        yield connection


def let_the_loop_see(client: httpx.Client) -> None:
    """Return when the event loop has handled that a client left, which takes it a few turns."""
    for _ in range(5):
        client.get("/health")


def stages(response: httpx.Response) -> dict[str, float]:
    pairs = re.findall(r"([a-z]+);dur=([0-9.]+)", response.headers["server-timing"])
    return {name: float(milliseconds) for name, milliseconds in pairs}


@pytest.mark.parametrize("path", [FAST_PATH, "/v1/face-emotion", "/v1/background"])
def test_an_answer_tells_how_long_each_stage_took(client: httpx.Client, path: str) -> None:
    response = client.post(path, content=png(half_white()))
    assert response.status_code == 200
    assert list(stages(response)) == ["queue", "decode", "run", "encode"]
    assert all(milliseconds > 0 for milliseconds in stages(response).values())


def test_the_stages_are_told_apart(client: httpx.Client) -> None:
    timing = stages(client.post(SLOW_PATH, content=BRIGHT))
    assert timing["run"] > 5 * (timing["queue"] + timing["decode"] + timing["encode"])


def test_an_infer_request_has_its_timing_too(client: httpx.Client) -> None:
    data = {"name": "image", "shape": [1, 8, 8, 1], "datatype": "UINT8", "data": [0] * 64}
    path = "/v2/models/face_emotion_xception/infer"
    assert "run" in stages(client.post(path, json={"inputs": [data]}))


def test_the_files_of_a_request_have_one_timing(client: httpx.Client) -> None:
    response = client.post(FAST_PATH, files=[("image", DARK), ("image", BRIGHT)])
    assert len(response.json()["results"]) == 2
    assert "run" in stages(response)


@pytest.mark.parametrize("timeout", ["0", "-1", "soon", "1e9", "nan", "", "1,5", "9" * 100])
def test_an_ill_formed_timeout_is_refused(client: httpx.Client, timeout: str) -> None:
    response = client.post(FAST_PATH, content=DARK, headers={"X-Request-Timeout": timeout})
    assert response.status_code == 400
    assert "X-Request-Timeout is" in response.json()["error"]


@contextmanager
def busy(client: httpx.Client, runs: Runs, image: bytes = BRIGHT) -> Iterator[None]:
    """Keep every CPU at work, with runs that end when the block does, or by themselves."""
    with ExitStack() as stack:
        for _ in range(cpu_count()):
            stack.enter_context(sending(client, SLOW_PATH, image))
        for _ in range(cpu_count()):
            runs.begun.get(timeout=TIMEOUT_S)
        yield


def test_what_cannot_start_in_time_is_refused_before_its_body(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.post(SLOW_PATH, content=BRIGHT)  # its time is known
    runs = Runs(monkeypatch)
    with busy(client, runs):
        url = client.base_url
        address = (url.host, url.port or 80)
        with socket.create_connection(address, timeout=TIMEOUT_S) as connection:
            lines = ["Host: test", "Content-Length: 70000", "X-Request-Timeout: 0.001"]
            head = "\r\n".join([f"POST {SLOW_PATH} HTTP/1.1", *lines])
            connection.sendall(f"{head}\r\n\r\n".encode())  # and no byte of the body
            answer = connection.recv(4096)
        assert answer.startswith(b"HTTP/1.1 429 ")
        assert b"\r\nretry-after: " in answer.lower()


def test_a_model_that_is_busy_does_not_refuse_for_another(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with busy(client, Runs(monkeypatch), solid(60, 60, 60)):
        assert client.post(FAST_PATH, content=DARK).status_code == 200


def test_a_request_that_waits_past_its_deadline_gets_503_then(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    # dark images take no time, so that the queue seems short enough
    for _ in range(20):
        client.post(SLOW_PATH, content=DARK)
    runs = Runs(monkeypatch)
    with busy(client, runs):
        response = client.post(SLOW_PATH, content=DARK, headers={"X-Request-Timeout": "0.2"})
        assert response.status_code in (429, 503)
        assert response.headers["retry-after"]
        assert runs.ends.empty()  # those before it still run


def test_a_run_ends_when_its_client_leaves(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = Runs(monkeypatch)
    with sending(client, SLOW_PATH, BRIGHT):
        runs.begun.get(timeout=TIMEOUT_S)
    assert isinstance(runs.ends.get(timeout=TIMEOUT_S), CancelledError)
    assert client.post(SLOW_PATH, content=DARK).status_code == 200


def test_a_request_whose_client_left_while_it_waited_is_not_run(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = Runs(monkeypatch)
    with busy(client, runs):
        with sending(client, FAST_PATH, DARK):
            pass
        let_the_loop_see(client)
    ends = [runs.ends.get(timeout=TIMEOUT_S) for _ in range(cpu_count())]
    assert all(isinstance(end, CancelledError) for end in ends)
    assert client.post(FAST_PATH, content=BRIGHT).status_code == 200
    assert runs.ends.get(timeout=TIMEOUT_S) is None
    assert runs.ends.empty()


def test_the_other_files_of_a_request_are_not_answered_after_its_client_left(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = Runs(monkeypatch)
    request = client.build_request("POST", SLOW_PATH, files=[("image", BRIGHT)] * 4)
    body, kind = request.read(), request.headers["content-type"]
    url = client.base_url
    with socket.create_connection((url.host, url.port or 80), timeout=TIMEOUT_S) as connection:
        lines = [f"POST {SLOW_PATH} HTTP/1.1", "Host: test", f"Content-Type: {kind}"]
        head = "\r\n".join([*lines, f"Content-Length: {len(body)}"])
        connection.sendall(f"{head}\r\n\r\n".encode() + body)
        runs.begun.get(timeout=TIMEOUT_S)
    assert isinstance(runs.ends.get(timeout=TIMEOUT_S), CancelledError)
    assert client.post(FAST_PATH, content=BRIGHT).status_code == 200
    assert runs.ends.get(timeout=TIMEOUT_S) is None
    assert runs.ends.empty()


def test_the_chunks_of_a_batch_end_with_the_first(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve.scheduling.rows.CHUNK_BYTES", 64)  # a row each
    runs = Runs(monkeypatch)
    data = {"name": "image", "shape": [8, 8, 8, 1], "datatype": "UINT8", "data": [255] * 8 * 64}
    request = client.build_request("POST", "/v2/models/tiny_slow/infer", json={"inputs": [data]})
    with sending(client, "/v2/models/tiny_slow/infer", request.read()):
        runs.begun.get(timeout=TIMEOUT_S)
    assert isinstance(runs.ends.get(timeout=TIMEOUT_S), CancelledError)
    assert client.post(FAST_PATH, content=BRIGHT).status_code == 200
    assert runs.ends.get(timeout=TIMEOUT_S) is None


def test_a_sound_takes_a_slot_for_its_runs_alone(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = Runs(monkeypatch)
    with ThreadPoolExecutor(1) as threads:
        with busy(client, runs):
            answer = threads.submit(client.post, "/v1/voice-emotion", content=sound(tone()))
            with pytest.raises(queue.Empty):
                runs.begun.get(timeout=0.3)  # no CPU is free for the run
            assert not answer.done()
        response = answer.result(timeout=TIMEOUT_S)
    assert response.status_code == 200
    assert stages(response)["queue"] > 100


def test_a_decoder_is_stopped_when_its_client_leaves(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancellations: queue.SimpleQueue[Cancellation] = queue.SimpleQueue()
    stopped_by = IsolatedDecoders.stopped_by

    def watched(decoders: IsolatedDecoders, cancellation: Cancellation) -> IsolatedDecoders:
        cancellations.put(cancellation)
        return stopped_by(decoders, cancellation)

    monkeypatch.setattr(IsolatedDecoders, "stopped_by", watched)
    with busy(client, Runs(monkeypatch)):
        for _ in range(cpu_count()):
            cancellations.get(timeout=TIMEOUT_S)  # of what keeps the CPUs busy
        with sending(client, "/v1/voice-emotion", sound(tone())):
            cancellation = cancellations.get(timeout=TIMEOUT_S)
            assert not cancellation.cancelled
        let_the_loop_see(client)
        assert cancellation.cancelled


def test_the_timeout_of_an_infer_request(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = {"name": "image", "shape": [1, 8, 8, 1], "datatype": "UINT8", "data": [0] * 64}
    path = "/v2/models/face_emotion_xception/infer"
    request = {"inputs": [data], "parameters": {"timeout": 20_000_000}}
    assert client.post(path, json=request).status_code == 200
    request["parameters"] = {"timeout": 200_000}
    with busy(client, Runs(monkeypatch)):
        assert client.post(path, json=request).status_code in (429, 503)
    request["parameters"] = {"timeout": "soon"}
    response = client.post(path, json=request)
    assert response.status_code == 400
    assert "timeout of the request is 'soon'" in response.json()["error"]

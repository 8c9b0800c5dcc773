"""`WORKERS=2`: several processes answer as one server does."""

import http.client
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.serve.lifecycle.test_end import KeepAliveClient, wait_for_answers
from tests.support.artifacts import CLASSIFIER, write_artifact
from tests.support.images import solid
from tests.support.server_process import Server, serving, start

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="more than one worker needs Linux")

BRIGHT, DARK = solid(255, 255, 255), solid(0, 0, 0)
MODEL = "face_emotion_xception"
ASYNC = {"Prefer": "respond-async"}
ADMINISTRATOR = {"Authorization": "Bearer secret"}
WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def content(self) -> Any:
        return json.loads(self.body)


def ask(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> Reply:
    connection.request(method, path, body, headers or {})
    response = connection.getresponse()
    fields = {name.lower(): value for name, value in response.getheaders()}
    return Reply(response.status, fields, response.read())


def connect(server: Server) -> http.client.HTTPConnection:
    port = int(server.url.rpartition(":")[2])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
    connection.connect()
    return connection


def worker_of(connection: http.client.HTTPConnection) -> int:
    """Return the worker of a connection: its jobs' ids tell it."""
    reply = ask(connection, "POST", f"/v1/models/{MODEL}", BRIGHT, ASYNC)
    assert reply.status == 202, reply
    assert ask(connection, "DELETE", reply.headers["location"]).status == 204
    return int(reply.content["id"][:2], 16)


def workers_of(server: Server) -> list[int]:
    """Return the ids of the workers' processes."""
    task = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    return [int(word) for word in task.read_text(encoding="ascii").split()]


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("workers")
    write_artifact(root, CLASSIFIER)
    return root


@pytest.fixture(scope="module")
def server(artifacts: Path) -> Iterator[Server]:
    options = {"SLIPWAY_ADMIN_KEY": "secret", "SLIPWAY_LOG": "off", "SLIPWAY_GRACE": "0"}
    with serving("--workers", "2", SLIPWAY_ARTIFACTS=str(artifacts), **options) as server:
        yield server


@pytest.fixture
def both(server: Server) -> Iterator[tuple[http.client.HTTPConnection, ...]]:
    """Yield a connection to each worker."""
    with ExitStack() as stack:
        by_worker: dict[int, http.client.HTTPConnection] = {}
        for _ in range(16):
            connection = stack.enter_context(closing(connect(server)))
            by_worker.setdefault(worker_of(connection), connection)
        assert sorted(by_worker) == [0, 1]
        yield by_worker[0], by_worker[1]


def test_each_worker_gets_its_share_of_the_connections(server: Server) -> None:
    with ExitStack() as stack:
        connections = [stack.enter_context(closing(connect(server))) for _ in range(12)]
        numbers = [worker_of(connection) for connection in connections]
    # one may have waited for a worker that got no CPU
    assert 4 <= numbers.count(0) <= 8


def test_a_job_of_one_worker_is_told_fetched_and_deleted_by_the_other(
    both: tuple[http.client.HTTPConnection, ...],
) -> None:
    for maker, other in (both, both[::-1]):
        location = ask(maker, "POST", f"/v1/models/{MODEL}", BRIGHT, ASYNC).headers["location"]
        end_s = time.monotonic() + WAIT_S
        while (state := ask(other, "GET", location).content["state"]) != "done":
            assert state in ("queued", "running")
            assert time.monotonic() < end_s
        results = [ask(one, "GET", f"{location}/result") for one in (maker, other)]
        assert results[0].content["result"]["label"] == "bright"
        assert results[0].body == results[1].body
        assert results[0].headers["x-model"] == results[1].headers["x-model"] == MODEL
        assert ask(other, "DELETE", location).status == 204
        assert [ask(one, "GET", location).status for one in (maker, other)] == [410, 410]


def test_an_idempotency_key_means_one_job_whichever_worker_is_asked(
    both: tuple[http.client.HTTPConnection, ...],
) -> None:
    path = f"/v1/models/{MODEL}"
    for key in ("a", "b", "c", "d"):  # each is kept by one of the two
        headers = {**ASYNC, "Idempotency-Key": key}
        replies = [ask(one, "POST", path, BRIGHT, headers) for one in both]
        assert [reply.status for reply in replies] == [202, 202]
        assert len({reply.content["id"] for reply in replies}) == 1
        assert [ask(one, "POST", path, DARK, headers).status for one in both] == [422, 422]
        assert ask(both[0], "DELETE", replies[0].headers["location"]).status == 204


def test_what_an_administrator_does_is_done_in_every_worker(
    both: tuple[http.client.HTTPConnection, ...],
) -> None:
    path = f"/v2/repository/models/{MODEL}"

    def is_ready() -> list[bool]:
        return [ask(one, "GET", f"/v2/models/{MODEL}/ready").status == 200 for one in both]

    assert ask(both[0], "POST", f"{path}/unload").status == 403
    assert is_ready() == [True, True]
    assert ask(both[0], "POST", f"{path}/unload", None, ADMINISTRATOR).status == 200
    assert is_ready() == [False, False]
    assert ask(both[1], "POST", f"{path}/load", None, ADMINISTRATOR).status == 200
    assert is_ready() == [True, True]
    assert ask(both[0], "POST", "/v1/memory/clear", None, ADMINISTRATOR).status == 200
    memory = ask(both[1], "GET", "/v1/memory").content
    states = [one["models"][MODEL]["state"] for one in memory["workers"]]
    assert states == ["unloaded", "unloaded"]
    assert memory["evictions"] == 2


def test_statistics_are_those_of_all_workers(both: tuple[http.client.HTTPConnection, ...]) -> None:
    path, headers = f"/v2/models/{MODEL}", {"Inference-Header-Content-Length": "0"}

    def count() -> list[int]:
        replies = [ask(one, "GET", f"{path}/stats").content for one in both]
        return [reply["model_stats"][0]["inference_count"] for reply in replies]

    before = count()
    for connection in (*both, both[0]):
        assert ask(connection, "POST", f"{path}/infer", BRIGHT, headers).status == 200
    assert count() == [number + 3 for number in before]
    assert before[0] == before[1]


class Client(threading.Thread):
    """Asks over one connection until it breaks; counts answers, and what was wrong."""

    def __init__(self, server: Server, end: threading.Event) -> None:
        super().__init__()
        self.connection = connect(server)
        self.worker = worker_of(self.connection)
        self.answers = 0
        self.wrong = ""
        self._end = end

    def run(self) -> None:
        try:
            while not self._end.is_set():
                reply = ask(self.connection, "POST", f"/v1/models/{MODEL}", BRIGHT)
                if reply.status != 200 or reply.content["result"]["label"] != "bright":
                    self.wrong = f"{reply.status} {reply.body!r}"
                    return
                self.answers += 1
        except (OSError, http.client.HTTPException) as error:
            self.wrong = repr(error)
        finally:
            self.connection.close()


def test_a_killed_worker_loses_its_own_requests_alone_and_comes_back(server: Server) -> None:
    end = threading.Event()
    clients = [Client(server, end) for _ in range(8)]
    for client in clients:
        client.start()
    until_s = time.monotonic() + WAIT_S
    while min(client.answers for client in clients) < 2:
        assert time.monotonic() < until_s, [client.wrong or client.answers for client in clients]
        time.sleep(0.01)
    before = workers_of(server)
    os.kill(before[0], signal.SIGKILL)
    until_s = time.monotonic() + WAIT_S
    while len(after := workers_of(server)) < 2 or before[0] in after:
        assert time.monotonic() < until_s
        time.sleep(0.01)
    seen: set[int] = set()
    with ExitStack() as stack:
        while seen != {0, 1}:  # the new one answers too
            assert time.monotonic() < until_s
            seen.add(worker_of(stack.enter_context(closing(connect(server)))))
    end.set()
    for client in clients:
        client.join()
    broken = {client.worker for client in clients if client.wrong}
    assert len(broken) == 1, [client.wrong for client in clients]


def test_a_worker_that_is_told_to_end_loses_nothing_and_is_replaced(artifacts: Path) -> None:
    options = {"SLIPWAY_ARTIFACTS": str(artifacts), "SLIPWAY_GRACE": "0"}
    with serving("--workers", "2", **options) as server:
        clients = [KeepAliveClient(server) for _ in range(4)]
        for client in clients:
            client.start()
        before = workers_of(server)
        os.kill(before[0], signal.SIGTERM)
        until_s = time.monotonic() + WAIT_S
        while len(after := workers_of(server)) < 2 or before[0] in after:
            assert time.monotonic() < until_s
            time.sleep(0.01)
        with closing(connect(server)) as connection:
            assert ask(connection, "GET", "/v2/health/live").status == 200
        server.process.send_signal(signal.SIGTERM)
        for client in clients:
            client.join(timeout=WAIT_S)
        assert server.process.wait(timeout=10) == 0
    assert [client.lost for client in clients] == [""] * 4


def test_sixteen_clients_that_keep_their_connections_lose_nothing(artifacts: Path) -> None:
    options = {"SLIPWAY_ARTIFACTS": str(artifacts), "SLIPWAY_GRACE": "1"}
    with serving("--workers", "2", **options) as server:
        assert sum("ready" in line for line in server.lines) == 1
        clients = [KeepAliveClient(server) for _ in range(16)]
        for client in clients:
            client.start()
        wait_for_answers(clients, 2)
        server.process.send_signal(signal.SIGTERM)
        for client in clients:
            client.join(timeout=WAIT_S)
        assert server.process.wait(timeout=25) == 0
    assert [client.lost for client in clients] == [""] * 16


def test_workers_end_when_their_supervisor_is_killed(artifacts: Path) -> None:
    options = {"SLIPWAY_ARTIFACTS": str(artifacts), "SLIPWAY_GRACE": "0"}
    with serving("--workers", "2", **options) as server:
        pids = workers_of(server)
        server.process.kill()
        until_s = time.monotonic() + WAIT_S
        try:
            while any(Path(f"/proc/{pid}/exe").exists() for pid in pids):
                assert time.monotonic() < until_s
                time.sleep(0.05)
        except AssertionError:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            raise


def test_a_server_that_can_answer_nothing_ends_with_1(tmp_path: Path) -> None:
    graph = write_artifact(tmp_path, CLASSIFIER) / "float.onnx"
    graph.write_bytes(bytes(graph.stat().st_size))
    process = start(WORKERS="2", PORT="0", SLIPWAY_ARTIFACTS=str(tmp_path))
    try:
        _, log = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 1, log
    assert "no model can be served" in log
    assert "started again" not in log

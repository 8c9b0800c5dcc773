"""Versions are switched, reloaded, rolled back, evicted and corrupt under load: no answer is lost.

The versions of the tiny classifier answer with other numbers, so that each row tells its version.
"""

import base64
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime import load
from runtime.results import Classification
from serve.commands.route import main as route
from tests.serve.troubles.conftest import Starter
from tests.serve.troubles.support.load import RAW
from tests.serve.troubles.support.scale import Scale
from tests.serve.troubles.support.server import Server
from tests.serve.troubles.support.table import Figures
from tests.serve.troubles.support.wire import Answer, Client, ask, post
from tests.support.artifacts import CLASSIFIER, EMBEDDING, steeper, write_artifact
from tests.support.images import png

MODEL = "face_emotion_xception"
KEY = "secret"
CLIENTS = 6
SETTLE_S = 20.0  # for a change to be in effect, on a busy machine
WORKERS_S = 3.0  # until every worker has seen a change of the file
PATH, INFER = f"/v1/models/{MODEL}", f"/v2/models/{MODEL}/infer"
TOLERANCE = 1e-4  # of numbers in JSON; the versions differ by more
PICTURE = np.full((8, 8, 3), 90, np.uint8)


@dataclass(slots=True)
class Traffic:
    """Answers of all clients, and the versions that may give them."""

    tables: list[frozenset[int]]  # of versions that may answer, one after the other
    expected: dict[int, list[float]] = field(default_factory=dict)  # by version
    right: int = 0
    faults: list[str] = field(default_factory=list)
    by_version: dict[int, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def allow(self, *versions: int) -> None:
        """Let these versions alone answer requests that begin from now on."""
        self.tables.append(frozenset(versions))

    def count(self, first: int, answer: Answer | None) -> None:
        """Compare the rows of an answer with those of its version.

        Args:
            first: the index of the table when the request began.
            answer: None if the connection ended before it was complete.
        """
        fault, version = self._fault(first, answer)
        with self.lock:
            if fault:
                self.faults.append(fault)
            else:
                self.right += 1
                self.by_version[version] = self.by_version.get(version, 0) + 1

    def _fault(self, first: int, answer: Answer | None) -> tuple[str, int]:
        if answer is None:
            return "lost", 0
        if answer.status != 200:
            return f"{answer.status} {answer.error[:200]}", 0
        versions, rows = zip(*parts(answer.json()), strict=True)
        version = versions[0]
        if len(set(versions)) != 1:
            return f"one request had versions {versions}", version
        if version not in frozenset().union(*self.tables[first:]):
            return f"version {version} answered; allowed: {self.tables[first:]}", version
        if any(
            not np.allclose(sorted(row), self.expected[version], atol=TOLERANCE) for row in rows
        ):
            return f"version {version} answered {rows}", version
        return "", version


def parts(content: Any) -> Iterator[tuple[int, list[float]]]:
    """Return the version and the probabilities of each row of an answer."""
    if "outputs" in content:
        values = np.reshape(content["outputs"][0]["data"], (-1, 3))
        yield from ((int(content["model_version"]), row.tolist()) for row in values)
        return
    for one in content.get("results", [content]):
        yield one["version"], list(one["result"]["probabilities"].values())


def probabilities(directory: Path) -> list[float]:
    """Return the row that a version answers, in order of its numbers."""
    result = load(directory).predict(PICTURE)
    assert isinstance(result, Classification)
    return sorted(float(value) for value in result.probabilities)


def questions() -> list[bytes]:
    """Return a request of each kind: one file, two files, tensors."""
    data = png(PICTURE)
    text = base64.b64encode(data).decode()
    grey = np.full((2, 8, 8, 1), 90, np.uint8)
    tensor = {"name": "image", "shape": [2, 8, 8, 1], "datatype": "UINT8", "data": grey.tolist()}
    as_json = "Content-Type: application/json"
    return [
        post(PATH, data, RAW),
        post(PATH, json.dumps({"image": [text, text]}).encode(), as_json),
        post(INFER, json.dumps({"inputs": [tensor]}).encode(), as_json),
    ]


@contextmanager
def under_load(port: int, traffic: Traffic) -> Iterator[None]:
    """Let clients ask without a pause, each on one connection, while the block runs."""
    end = threading.Event()

    def client(number: int) -> None:
        requests, index = questions(), number
        connection = Client(port)
        while not end.is_set():
            first = len(traffic.tables) - 1
            try:
                connection.send(requests[index % len(requests)])
                answer = connection.answer()
            except OSError:
                answer = None
            traffic.count(first, answer)
            index += 1
            if answer is None:
                connection.__exit__(None, None, None)
                connection = Client(port)
        connection.__exit__(None, None, None)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        end.set()
        for thread in threads:
            thread.join()


@dataclass(slots=True)
class Operator:
    """Changes the versions of a running server in every way."""

    server: Server
    artifacts: Path
    traffic: Traffic
    workers: int
    newest: int = 1

    def add(self, damage: Callable[[Path], None] | None = None) -> int:
        """Drop a version into the directory, under its name when it is complete."""
        self.newest += 1
        number = self.newest
        folder = self.artifacts / ".work" / f"new-{number}"
        directory = write_artifact(
            folder, CLASSIFIER, version=number, data=steeper(1 + 0.1 * (number % 50))
        )
        self.traffic.expected[number] = probabilities(directory)
        if damage:
            damage(directory)
        directory.rename(self.artifacts / MODEL / str(number))
        return number

    def route(self, *arguments: str) -> None:
        """Change the file by the command line."""
        assert route(["--artifacts", str(self.artifacts), *arguments]) == 0

    def post(self, path: str, content: Any = None) -> Answer:
        """Ask the administrative endpoint."""
        body = b"" if content is None else json.dumps(content).encode()
        answer = ask(self.server.port, post(path, body, f"Authorization: Bearer {KEY}"))
        assert answer is not None
        return answer

    def change(self, command: str, status: int = 200, **fields: Any) -> None:
        """Change the file by the endpoint; every worker follows."""
        answer = self.post("/v1/routing", {"model": MODEL, "command": command, **fields})
        assert answer.status == status, answer.body
        time.sleep(WORKERS_S * (self.workers > 1))

    def wait_for(self, is_so: Callable[[dict[str, Any]], bool]) -> None:
        """Wait until the route of the model is so."""
        end = time.monotonic() + SETTLE_S
        while True:
            answer = ask(self.server.port, b"GET /v1/routing HTTP/1.1\r\nHost: x\r\n\r\n")
            assert answer is not None
            description = answer.json()["models"][MODEL]
            if is_so(description):
                break
            assert time.monotonic() < end, description
            time.sleep(0.05)
        time.sleep(WORKERS_S * (self.workers > 1))


def spoil_weights(directory: Path) -> None:
    data = bytearray((directory / "float.onnx").read_bytes())
    data[100] ^= 1
    (directory / "float.onnx").write_bytes(data)


def spoil_answers(directory: Path) -> None:
    """Give the version the weights of another one: it loads, and its golden outputs differ."""
    manifest = json.loads((directory / "manifest.json").read_text())
    other = write_artifact(directory.parent / "other", CLASSIFIER, version=1, data=steeper(60))
    wrong = json.loads((other / "manifest.json").read_text())
    (directory / "float.onnx").write_bytes((other / "float.onnx").read_bytes())
    manifest["variants"] = wrong["variants"]
    (directory / "manifest.json").write_text(json.dumps(manifest))


def one_round(operator: Operator, number: int) -> None:
    """Reload, canary, promotion, rollback, corrupt versions and evictions, one after the other."""
    traffic, before = operator.traffic, operator.newest
    operator.route("newest", MODEL)
    operator.wait_for(lambda route: route["default"]["version"] == before)
    # a reload takes the version that was dropped in
    after = operator.add()
    traffic.allow(before, after)
    operator.server.process.send_signal(signal.SIGHUP)
    operator.wait_for(lambda route: route["default"]["version"] == after)
    traffic.allow(after)
    # corrupt versions are never asked, whoever names them
    for damage in (spoil_weights, spoil_answers):
        bad = operator.add(damage)
        assert operator.post("/v1/routing/reload").status == 200
        operator.change("candidate", 409, version=bad, share=0.5)
        operator.change("default", 409, version=bad)
        operator.change("rollback")
        assert operator.post(f"/v2/models/{MODEL}/versions/{bad}/infer", {}).status in (404, 503)
    # a canary, which grows, loses its memory, and is promoted
    canary = operator.add()
    traffic.allow(after, canary)
    operator.route("candidate", MODEL, str(canary), "--share", "30%")
    operator.wait_for(lambda route: (route["candidate"] or {}).get("state") == "ready")
    assert operator.post("/v1/memory/clear").status == 200
    operator.change("candidate", version=canary, share=0.7)
    operator.change("promote")
    traffic.allow(canary)
    for _ in range(5):
        assert operator.post("/v1/memory/clear").status == 200
        time.sleep(0.05)
    # one command takes the traffic back, by either way
    traffic.allow(after, canary)
    if number % 2:
        operator.change("rollback")
    else:
        operator.route("rollback", MODEL)
        operator.wait_for(lambda route: route["default"]["version"] == after)
    traffic.allow(after)
    time.sleep(0.2)
    traffic.allow(*range(1, operator.newest + 1))
    operator.newest = max(operator.newest, canary)


def rounds(operator: Operator, seconds: float) -> int:
    """Repeat the round for some seconds, at least once."""
    end, number = time.monotonic() + seconds, 0
    while True:
        one_round(operator, number)
        number += 1
        if time.monotonic() >= end:
            return number


@pytest.mark.parametrize("workers", [1, 2])
def test_no_answer_is_lost_or_wrong_while_versions_change(
    start: Starter, tmp_path: Path, scale: Scale, figures: Figures, workers: int
) -> None:
    if workers > 1 and not scale.soak:
        pytest.skip("several workers: with --soak")
    artifacts = tmp_path / "artifacts"
    write_artifact(artifacts, EMBEDDING)
    write_artifact(artifacts, CLASSIFIER, version=1, data=steeper(2))
    (artifacts / ".work").mkdir()
    # a busy machine loads slowly, which is no overload
    settings = {"SLIPWAY_ADMIN_KEY": KEY, "WORKERS": str(workers), "SLIPWAY_QUEUE_SECONDS": "30"}
    server = start(artifacts, settings=settings)
    traffic = Traffic([frozenset((1,))])
    traffic.expected[1] = probabilities(artifacts / MODEL / "1")
    operator = Operator(server, artifacts, traffic, workers)
    with under_load(server.port, traffic):
        number = rounds(operator, scale.versions_s)
    figures.equal("lost, refused or wrong", traffic.faults[:5], [])
    figures.at_least("right", traffic.right, 20 * number, "answers")
    figures.at_least("versions that answered", len(traffic.by_version), 2 * number, "versions")
    figures.show("rounds of changes", number, "rounds")

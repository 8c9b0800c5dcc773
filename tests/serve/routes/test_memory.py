"""GET /v1/memory, POST /v1/memory/clear, and requests where memory is short."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from runtime.engine.cancellation import Cancellation
from runtime.engine.session import Session
from serve.repository.memory.budget import MIB
from serve.repository.memory.keeper import MemoryKeeper
from serve.settings import Settings
from tests.serve.support.server import running
from tests.support.artifacts import CLASSIFIER, EMBEDDING, write_artifact
from tests.support.images import solid

XCEPTION, MOBILENET = "face_emotion_xception", "image_embedding_mobilenetv2"
KEY = {"Authorization": "Bearer secret"}
PATH = f"/v1/models/{XCEPTION}"
PICTURE = solid(200, 200, 200)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("artifacts")
    for graph in (CLASSIFIER, EMBEDDING):
        write_artifact(root, graph)
    return root


@pytest.fixture(scope="module")
def settings(root: Path) -> Settings:
    return Settings(artifacts=root, admin_key="secret", memory_mib=4096)


@pytest.fixture
def client(settings: Settings) -> Iterator[httpx.Client]:
    with running(settings) as client:
        yield client


def test_what_takes_memory(client: httpx.Client) -> None:
    content = client.get("/v1/memory").json()
    (limit,) = [entry for entry in content["limits"] if entry["source"] == "SLIPWAY_MEMORY_MIB"]
    assert limit["limit_bytes"] == 4096 * MIB
    assert limit["allowed_bytes"] == 4096 * MIB - 4096 * MIB // 12
    assert 0 < content["free_bytes"] <= limit["allowed_bytes"] - limit["used_bytes"] + 32 * MIB
    assert content["short"] is False
    assert set(content["models"]) == {XCEPTION, MOBILENET}
    entry = content["models"][XCEPTION]
    assert (entry["state"], entry["users"]) == ("ready", 0)
    assert entry["cost"]["load_peak_bytes"] >= entry["cost"]["kept_bytes"]
    assert content["process"]["rss_bytes"] >= content["process"]["pss_bytes"] > 10 * MIB


def test_to_clear_unloads_and_the_next_request_loads(client: httpx.Client) -> None:
    right = client.post(PATH, content=PICTURE).json()
    answer = client.post("/v1/memory/clear", headers=KEY)
    assert answer.status_code == 200
    assert sorted(answer.json()["unloaded"]) == [XCEPTION, MOBILENET]
    content = client.get("/v1/memory").json()
    assert {entry["state"] for entry in content["models"].values()} == {"unloaded"}
    assert content["evictions"] == 2
    assert client.get("/v2/health/ready").status_code == 200
    assert client.post(PATH, content=PICTURE).json() == right
    content = client.get("/v1/memory").json()
    assert content["models"][XCEPTION]["state"] == "ready"
    assert content["models"][XCEPTION]["users"] == 0


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer other"}])
def test_to_clear_needs_the_key(client: httpx.Client, headers: dict[str, str]) -> None:
    assert client.post("/v1/memory/clear", headers=headers).status_code == 403


def test_without_a_key_nobody_clears(settings: Settings) -> None:
    with running(replace(settings, admin_key="")) as client:
        answer = client.post("/v1/memory/clear", headers=KEY)
        assert answer.status_code == 403
        assert "set SLIPWAY_ADMIN_KEY" in answer.json()["error"]


@pytest.mark.parametrize("path", [PATH, f"/v2/models/{XCEPTION}/infer"])
def test_a_running_request_keeps_its_model(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    run = Session._run
    unloaded = []

    def clearing(session: Session, *arguments: Any) -> Any:
        url = client.base_url.copy_with(path="/v1/memory/clear")
        unloaded.append(httpx.post(url, headers=KEY, timeout=20).json()["unloaded"])
        return run(session, *arguments)

    monkeypatch.setattr(Session, "_run", clearing)
    if path == PATH:
        answer = client.post(path, content=PICTURE)
    else:
        data = [0] * 64
        tensor = {"name": "image", "datatype": "UINT8", "shape": [1, 8, 8, 1], "data": data}
        answer = client.post(path, json={"inputs": [tensor]})
    assert answer.status_code == 200, answer.text
    assert unloaded == [[MOBILENET]]
    monkeypatch.undo()
    assert client.post("/v1/memory/clear", headers=KEY).json()["unloaded"] == [XCEPTION]


def test_while_memory_is_short_requests_are_refused_and_the_server_is_not_ready(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MemoryKeeper, "is_short", True)
    for path in (PATH, f"/v2/models/{XCEPTION}/infer"):
        answer = client.post(path, content=PICTURE)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "memory is used up" in answer.json()["error"]
    answer = client.get("/v2/health/ready")
    assert answer.status_code == 503
    assert "memory is used up" in answer.json()["reason"]
    assert client.get("/v2/health/live").status_code == 200
    monkeypatch.undo()
    assert client.get("/v2/health/ready").status_code == 200
    assert client.post(PATH, content=PICTURE).status_code == 200


def test_a_run_without_room_is_refused_before_the_kernel_kills(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def room(
        keeper: MemoryKeeper, model_id: str, feeds: object, cancellation: Cancellation
    ) -> AbstractContextManager[None]:
        return keeper.room(8192 * MIB, f"a run of {model_id}", wait_s=0)

    monkeypatch.setattr(MemoryKeeper, "run_room", room)
    with running(settings) as client:
        answer = client.post(PATH, content=PICTURE)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "a run of face_emotion_xception/1 needs about 8192 MiB" in answer.json()["error"]
        assert client.get("/v1/memory").json()["models"][XCEPTION]["users"] == 0

"""GET /v1/memory, POST /v1/memory/clear, and requests where memory is short."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from runtime.engine.cancellation import Cancellation
from runtime.engine.session import Session
from runtime.errors import UnavailableError
from runtime.media.isolation.pool import IsolatedDecoders
from serve import app as app_module
from serve.app import create_app, store_of
from serve.errors import OverloadedError
from serve.jobs.record import Record
from serve.repository.memory.budget import CLIP_BYTES, DATA_BYTES, LARGE_CLIP_BYTES, MIB, Limit
from serve.repository.memory.keeper import MemoryKeeper
from serve.repository.opening import open_repository
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
        unloaded.append(httpx.post(url, headers=KEY, timeout=60).json()["unloaded"])
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


def test_all_that_may_arrive_is_planned(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: dict[str, Callable[[], int]] = {}

    def count(keeper: MemoryKeeper, body_bytes: Callable[[], int], **others: Any) -> None:
        counts.update(others, body_bytes=body_bytes)

    monkeypatch.setattr(MemoryKeeper, "count", count)
    limited = replace(settings, memory_mib=480)

    async def serve() -> None:
        app = create_app(limited, open_repository(limited))
        async with app.router.lifespan_context(app) as state:
            assert state is not None
            budget = state["budget"]
            with budget.open("a", lambda: None) as account:
                for grown_mib in (0, 15, 40):
                    budget.grow(account, grown_mib * MIB - account.size_bytes)
                    assert counts["body_bytes"]() == grown_mib * MIB
                    assert counts["coming_bytes"]() == (40 - grown_mib) * MIB
                budget.grow(account, MIB)  # one alone may have more
                assert counts["coming_bytes"]() == 0

    asyncio.run(serve())


@pytest.mark.parametrize(
    ("memory_mib", "clip_bytes"), [(480, CLIP_BYTES), (2**20, LARGE_CLIP_BYTES)]
)
def test_decoders_have_no_more_than_the_room_of_a_clip(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, memory_mib: int, clip_bytes: int
) -> None:
    pools: list[Any] = []
    rooms: list[int] = []

    def pool(**arguments: Any) -> IsolatedDecoders:
        pools.append(arguments)
        return IsolatedDecoders(**arguments)

    def room(keeper: MemoryKeeper, need_bytes: int, *_: object, **__: object) -> nullcontext[None]:
        rooms.append(need_bytes)
        return nullcontext()

    monkeypatch.setattr(app_module, "IsolatedDecoders", pool)
    limited = replace(settings, memory_mib=memory_mib)
    with running(limited):
        pass
    monkeypatch.setattr(MemoryKeeper, "room", room)
    for arguments in pools:
        arguments["clip_room"](Cancellation(), 10 * MIB)
        arguments["sound_room"](Cancellation(), 10 * MIB)
        assert arguments["memory_bytes"] == clip_bytes + DATA_BYTES
    assert rooms == 2 * [clip_bytes + 20 * MIB, 50 * MIB]


@pytest.mark.parametrize(("limit_mib", "may"), [(None, True), (480, False)])
def test_jobs_have_less_memory_where_it_is_limited(
    settings: Settings, limit_mib: int | None, may: bool
) -> None:
    limits = [Limit("test", limit_mib * MIB, lambda: 0)] if limit_mib else []

    async def add_two() -> None:
        store = store_of(settings, limits)
        for name in "ab":  # clients
            body_bytes = 25 * MIB  # of 80 MiB, or of 40
            record = Record(id=name, client=name, submitted_s=0.0, body_bytes=body_bytes, key=None)
            await store.add(record)

    with nullcontext() if may else pytest.raises(OverloadedError):
        asyncio.run(add_two())


def test_a_job_whose_body_finds_no_memory_is_not_accepted(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(keeper: MemoryKeeper, need_bytes: int, purpose: str) -> None:
        raise UnavailableError(f"{purpose} of {need_bytes} bytes")

    monkeypatch.setattr(MemoryKeeper, "make_room", refuse)
    later = {"Prefer": "respond-async"}
    answer = client.post(PATH, content=bytes(2**20 + 1), headers=later)
    assert (answer.status_code, answer.json()["error"]) == (
        503,
        "a job with this body of 1048577 bytes",
    )
    assert client.post(PATH, content=PICTURE, headers=later).status_code == 202

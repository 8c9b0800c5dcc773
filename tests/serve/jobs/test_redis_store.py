"""Jobs in a real Redis, as several processes see them."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest

from runtime.errors import UnavailableError
from serve.errors import GoneError, OverloadedError
from serve.jobs import redis_store
from serve.jobs.ids import JobIds
from serve.jobs.record import Answer, Record
from serve.jobs.redis_store import INDEX, PREFIX, RedisStore
from serve.jobs.room import StoreLimits
from serve.settings import Settings
from tests.serve.jobs.support import TIMEOUT_S, accepted, ended, submit, wait_until_gone
from tests.serve.support.server import running
from tests.support.artifacts import CLASSIFIER, write_artifact
from tests.support.images import solid
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer, redis_server

LIMITS = StoreLimits(8, 100_000, 60)
OURS, THEIRS = JobIds(0), JobIds(0)  # of two processes
ANSWER = Answer(200, ((b"x-model", b"u2netp"),), b"\x89PNG")
Check = Callable[[RedisStore, RedisStore], Awaitable[None]]
PATH = "/v1/models/face_emotion_xception"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis"), free_port()) as server:
        yield server


@pytest.fixture
def redis(server: RedisServer) -> RedisServer:
    server.command("FLUSHALL")
    return server


def with_stores(redis: RedisServer, check: Check, limits: StoreLimits = LIMITS) -> None:
    """Run a check with the stores of two processes."""

    async def run() -> None:
        stores = [RedisStore(redis.url, limits, timeout_s=60) for _ in range(2)]
        try:
            await check(*stores)
        finally:
            for store in stores:
                await store.close()

    asyncio.run(run())


def record(job_id: str, client: str = "a", body_bytes: int = 0, key: str | None = None) -> Record:
    return Record(
        id=job_id, client=client, submitted_s=time.time(), body_bytes=body_bytes, key=key,
        fingerprint="f",
    )  # fmt: skip


def test_every_process_sees_how_far_a_job_is(redis: RedisServer) -> None:
    async def check(ours: RedisStore, theirs: RedisStore) -> None:
        job = record(OURS.new())
        await ours.add(job)
        stored = await theirs.get(job.id)
        assert stored is not None
        assert (stored.id, stored.has_begun, stored.answer) == (job.id, False, None)
        await ours.begin(job.id)
        stored = await theirs.get(job.id)
        assert stored is not None
        assert stored.has_begun
        await ours.finish(job.id, ANSWER, now_s=5.0)
        stored = await theirs.get(job.id)
        assert stored is not None
        assert (stored.answer, stored.ended_s) == (ANSWER, 5.0)
        without = await theirs.get(job.id, with_body=False)
        assert without is not None
        assert without.answer == Answer(200, ANSWER.headers, b"")
        assert await theirs.get(OURS.new()) is None

    with_stores(redis, check)


def test_the_room_is_that_of_all_processes(redis: RedisServer) -> None:
    async def check(ours: RedisStore, theirs: RedisStore) -> None:
        for store in (ours, theirs, ours, theirs):
            await store.add(record(OURS.new()))
        for store in (ours, theirs):
            with pytest.raises(OverloadedError, match="4 of this client"):
                await store.check_room("a", 0, None)
        await theirs.add(record(THEIRS.new(), "b", 40_000))
        with pytest.raises(OverloadedError, match="allowed: 8 of 100000 bytes"):
            await ours.add(record(OURS.new(), "b", 40_000))

    with_stores(redis, check)


def test_an_answer_that_was_fetched_gives_way(redis: RedisServer) -> None:
    async def check(ours: RedisStore, theirs: RedisStore) -> None:
        jobs = [record(OURS.new()) for _ in range(4)]
        for job in jobs:
            await ours.add(job)
        await ours.finish(jobs[0].id, ANSWER, now_s=1.0)
        await theirs.mark_fetched(jobs[0].id)
        await theirs.add(record(THEIRS.new()))
        assert await ours.get(jobs[0].id) is None
        with pytest.raises(OverloadedError, match="the answer has 200000 bytes"):
            await ours.finish(jobs[1].id, Answer(200, (), bytes(200_000)), now_s=1.0)

    with_stores(redis, check)


def test_a_key_names_one_job_in_all_processes(redis: RedisServer) -> None:
    async def check(ours: RedisStore, theirs: RedisStore) -> None:
        tries = [(ours, OURS), (theirs, THEIRS)] * 4
        added = await asyncio.gather(
            *(store.add(record(ids.new(), key="once")) for store, ids in tries)
        )
        assert len({job.id for job in added}) == 1
        assert added[-1].fingerprint == "f"
        await theirs.check_room("a", 10**12, "once")  # needs no room
        await theirs.remove(added[0].id)
        assert (await ours.add(record("new-1", key="once"))).id == "new-1"

    with_stores(redis, check)


def test_a_job_whose_process_ended_is_lost_and_its_key_free(redis: RedisServer) -> None:
    async def check(ours: RedisStore, theirs: RedisStore) -> None:
        job = record(OURS.new(), key="once")
        await ours.add(job)
        redis.command("DEL", f"{PREFIX}process:{job.id.partition('-')[0]}")  # as after 15 s
        with pytest.raises(GoneError, match="its process ended"):
            await theirs.get(job.id)
        again = record(THEIRS.new(), key="once")
        assert (await theirs.add(again)).id == again.id

    with_stores(redis, check)


def test_a_process_hears_that_its_job_was_deleted(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_store, "BEAT_S", 0.02)

    async def check(ours: RedisStore, theirs: RedisStore) -> None:
        lost = asyncio.Queue[str]()
        ours.open(lost.put_nowait)
        jobs = [record(OURS.new()) for _ in range(2)]
        for job in jobs:
            await ours.add(job)
        assert await theirs.remove(jobs[0].id)
        assert not await theirs.remove(jobs[0].id)
        assert await asyncio.wait_for(lost.get(), TIMEOUT_S) == jobs[0].id
        await ours.finish(jobs[0].id, ANSWER, now_s=1.0)  # too late: nobody wants it
        assert await theirs.get(jobs[0].id) is None
        assert await theirs.get(jobs[1].id) is not None
        assert lost.empty()

    with_stores(redis, check)


def test_nothing_is_left_behind(redis: RedisServer) -> None:
    async def check(ours: RedisStore, theirs: RedisStore) -> None:
        for _ in range(3):
            job = record(OURS.new())
            await ours.add(job)
            await ours.begin(job.id)
            await ours.finish(job.id, ANSWER, now_s=time.time())
        await asyncio.sleep(0.1)
        await theirs.add(record(THEIRS.new()))
        assert redis.command("HLEN", INDEX) == b":1"  # those that expired are forgotten

    with_stores(redis, check, StoreLimits(8, 100_000, 0.05))
    keys = redis.command("EVAL", "return table.concat(redis.call('keys','*'),' ')", "0")
    assert keys.startswith(b"$")
    untimed = "local n=0 for _,k in ipairs(redis.call('keys','*')) do if redis.call('pttl',k)<0 "
    assert redis.command("EVAL", untimed + "then n=n+1 end end return n", "0") == b":0"


def test_no_key_holds_what_somebody_must_not_know(redis: RedisServer) -> None:
    job_id = OURS.new()

    async def check(ours: RedisStore, theirs: RedisStore) -> None:
        await ours.add(record(job_id, "192.0.2.7", key="hunter2"))
        await ours.begin(job_id)

    with_stores(redis, check)
    names = "local s='' for _,k in ipairs(redis.call('keys','*')) do s=s..k..' ' end "
    fields = f"for _,v in ipairs(redis.call('hgetall','{INDEX}')) do s=s..v end "
    whole = f"{names}{fields}return '+'..s"
    text = redis.command("EVAL", f"return redis.status_reply((function() {whole} end)())", "0")
    assert b"slipway:jobs:1:job:" in text
    for secret in (job_id.partition("-")[2], "192.0.2.7", "hunter2"):
        assert secret.encode() not in text


def test_a_redis_that_is_full_or_away(redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_store, "PATIENCE_S", 0.0)

    async def check(ours: RedisStore, theirs: RedisStore) -> None:
        job = record(OURS.new())
        await ours.add(job)
        redis.command("CONFIG", "SET", "maxmemory", "1")
        try:
            with pytest.raises(OverloadedError, match="is full"):
                await ours.add(record(OURS.new()))
            with pytest.raises(OverloadedError, match="is full"):
                await ours.finish(job.id, ANSWER, now_s=1.0)
            assert await ours.get(job.id) is not None
            assert await ours.remove(job.id)
        finally:
            redis.command("CONFIG", "SET", "maxmemory", "0")

    with_stores(redis, check)

    async def away() -> None:
        store = RedisStore(f"redis://127.0.0.1:{free_port()}", LIMITS, timeout_s=60)
        for call in (
            store.add(record("a-1")),
            store.get("a-1"),
            store.check_room("a", 0, None),
            store.remove("a-1"),
            store.begin("a-1"),
        ):
            with pytest.raises(UnavailableError, match="does not answer"):
                await call
        await store.mark_fetched("a-1")  # the client has its answer
        await store.close()

    asyncio.run(away())


def test_two_servers_share_their_jobs(
    tmp_path_factory: pytest.TempPathFactory, redis: RedisServer
) -> None:
    root = tmp_path_factory.mktemp("artifacts")
    write_artifact(root, CLASSIFIER)
    settings = Settings(artifacts=root, redis_url=redis.url)
    once, picture = {"Idempotency-Key": "once"}, solid(1, 2, 3)
    with ExitStack() as stack:
        ours, theirs = (stack.enter_context(running(settings)) for _ in range(2))
        location = accepted(submit(ours, PATH, picture, once))
        assert accepted(submit(theirs, PATH, picture, once)) == location
        assert submit(theirs, PATH, solid(3, 2, 1), once).status_code == 422
        job = ended(theirs, location)
        answer = theirs.get(job["result"])
        assert answer.json() == ours.post(PATH, content=picture).json()
        assert ours.get(job["result"]).content == answer.content
        assert theirs.delete(location).status_code == 204
        wait_until_gone(ours, location)
        _check_without_redis(ours, redis, location)


def _check_without_redis(client: httpx.Client, redis: RedisServer, location: str) -> None:
    redis.kill()
    try:
        for response in (submit(client, PATH, solid(1, 2, 3)), client.get(location)):
            assert response.status_code == 503
            assert int(response.headers["retry-after"]) >= 1
            assert "Redis, which keeps the jobs" in response.json()["error"]
        assert client.post(PATH, content=solid(1, 2, 3)).status_code == 200
    finally:
        redis.start()

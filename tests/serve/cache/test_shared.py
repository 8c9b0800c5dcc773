"""Stored answers in a real Redis, and whatever else may answer on its port."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest
from starlette.responses import Response

from serve.cache.breaker import FAILURES
from serve.cache.counters import Counters
from serve.cache.entry import Entry
from serve.cache.shared import CONNECTIONS, LARGEST_BYTES, PREFIX, SharedCache
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer, answering, redis_server

ENTRY = Entry.of(Response(b"answer", headers={"X-Model": "u2netp"}))
TRIES = 500  # a busy machine may let a call be late


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis"), free_port()) as server:
        yield server


def with_cache(url: str, check: Callable[[SharedCache, Counters], Awaitable[None]]) -> None:
    async def run() -> None:
        counters = Counters()
        cache = SharedCache(url, 60, counters, pause_s=0.01)
        try:
            await check(cache, counters)
        finally:
            await cache.close()

    asyncio.run(run())


async def stored(cache: SharedCache, key: str) -> tuple[Entry, float]:
    """Store an answer, and return what can be read of it."""
    for _ in range(TRIES):
        cache.put(key, ENTRY, time.time())
        await asyncio.sleep(0.01)
        answer = await cache.get(key)
        if answer is not None:
            return answer
    raise AssertionError("nothing was stored")


def test_an_answer_is_stored_and_found_for_its_time(redis: RedisServer) -> None:
    async def check(cache: SharedCache, counters: Counters) -> None:
        entry, since_s = await stored(cache, "a")
        assert entry == ENTRY
        assert time.time() - since_s < 60
        assert counters.shared_hits == 1
        assert await cache.get("b") is None
        assert 0 < int(redis.command("PTTL", f"{PREFIX}a")[1:]) <= 60_000

    with_cache(redis.url, check)


def test_an_old_or_large_answer_is_not_stored(redis: RedisServer) -> None:
    async def check(cache: SharedCache, counters: Counters) -> None:
        cache.put("old", ENTRY, time.time() - 61)
        cache.put("large", Entry((), bytes(LARGEST_BYTES + 1)), time.time())
        assert counters.shared_skipped == 2

    with_cache(redis.url, check)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x00\xff" * 5000,
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"$5\r\nhello\r\n",
        b"$1000000000\r\nhello",
        b"*1000000\r\n",
        b":5\r\n",
        b"+OK\r\n",
        b"-ERR nonsense\r\n",
        b"-MOVED 3999 127.0.0.1:1\r\n",
    ],
)
def test_garbage_is_a_miss_and_after_five_nobody_asks(answer: bytes) -> None:
    port = free_port()

    async def check(cache: SharedCache, counters: Counters) -> None:
        for _ in range(FAILURES):
            assert await cache.get("a") is None
        assert counters.shared_failures == FAILURES
        assert cache.breaker.state == "open"

    with answering(port, answer):
        with_cache(f"redis://127.0.0.1:{port}", check)


def test_a_redis_that_stalls_is_left_alone_and_asked_again_when_it_is_well(
    redis: RedisServer,
) -> None:
    async def check(cache: SharedCache, counters: Counters) -> None:
        await stored(cache, "before")
        redis.stall()
        try:
            answer = await asyncio.gather(*(cache.get("before") for _ in range(CONNECTIONS)))
            assert answer == [None] * CONNECTIONS
            assert cache.breaker.state == "open"
            failures = counters.shared_failures
            assert await cache.get("before") is None
            assert counters.shared_failures == failures  # no call was made
        finally:
            redis.resume()
        for _ in range(TRIES):
            if await cache.get("before"):
                break
            await asyncio.sleep(0.01)
        # the late answers of the calls that were given up are nobody's
        assert await stored(cache, "after")
        assert await cache.get("never stored") is None

    with_cache(redis.url, check)


def test_more_calls_than_connections_are_not_made(redis: RedisServer) -> None:
    async def check(cache: SharedCache, counters: Counters) -> None:
        redis.stall()
        try:
            await asyncio.gather(*(cache.get("a") for _ in range(3 * CONNECTIONS)))
        finally:
            redis.resume()
        assert counters.shared_failures <= CONNECTIONS
        assert counters.shared_skipped >= 2 * CONNECTIONS

    with_cache(redis.url, check)


def test_a_full_redis_answers_and_is_not_written_to(redis: RedisServer) -> None:
    async def check(cache: SharedCache, counters: Counters) -> None:
        await stored(cache, "before")
        redis.command("CONFIG", "SET", "maxmemory", "1")
        try:
            for _ in range(TRIES):
                cache.put("more", ENTRY, time.time())
                await asyncio.sleep(0.01)
                if counters.shared_skipped:
                    break
            skipped = counters.shared_skipped
            assert skipped
            cache.put("more", ENTRY, time.time())
            assert counters.shared_skipped == skipped + 1  # not tried again at once
            assert any([await cache.get("before") for _ in range(10)])
        finally:
            redis.command("CONFIG", "SET", "maxmemory", "0")

    with_cache(redis.url, check)


def test_a_password_is_in_no_message(caplog: pytest.LogCaptureFixture) -> None:
    async def check(cache: SharedCache, counters: Counters) -> None:
        for _ in range(FAILURES):
            assert await cache.get("a") is None
        assert cache.breaker.state == "open"

    with_cache(f"redis://:hunter2@127.0.0.1:{free_port()}", check)
    assert "calls in a row failed" in caplog.text
    assert "hunter2" not in caplog.text

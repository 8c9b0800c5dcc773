"""The store in memory, by count, bytes and time, without a server."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from serve.errors import OverloadedError
from serve.jobs.ids import JobIds
from serve.jobs.record import LEAST_BYTES, RECORD_BYTES, Answer, Record
from serve.jobs.room import StoreLimits
from serve.jobs.store import MemoryStore

SMALL = RECORD_BYTES + LEAST_BYTES
MANY_BYTES = 2**30


def record(job_id: str, client: str = "a", body_bytes: int = 0, key: str | None = None) -> Record:
    return Record(id=job_id, client=client, submitted_s=0.0, body_bytes=body_bytes, key=key)


def answer(size_bytes: int) -> Answer:
    return Answer(200, (), b"x" * size_bytes)


def run(test: Callable[[MemoryStore], Coroutine[Any, Any, None]], limits: StoreLimits) -> None:
    async def with_store() -> None:
        await test(MemoryStore(limits))

    asyncio.run(with_store())


def test_each_client_leaves_as_much_as_it_holds() -> None:
    async def check(store: MemoryStore) -> None:
        for client, most in (("a", 16), ("b", 8), ("c", 4)):
            for number in range(most):
                await store.add(record(f"{client}{number}", client))
            with pytest.raises(OverloadedError, match=f" {most} of this client") as refusal:
                await store.add(record("one more", client))
            assert refusal.value.retry_after_s > 1

    run(check, StoreLimits(32, MANY_BYTES, 60))


def test_bytes_are_counted_and_one_job_alone_may_have_more() -> None:
    async def check(store: MemoryStore) -> None:
        await store.add(record("huge", body_bytes=200_000))
        with pytest.raises(OverloadedError):
            await store.check_room("b", 1, None)
        await store.remove("huge")
        assert store.used_bytes == 0
        await store.add(record("1", body_bytes=40_000))
        with pytest.raises(OverloadedError, match="allowed: 100 of 100000 bytes"):
            await store.add(record("2", body_bytes=40_000))
        await store.add(record("3", client="b", body_bytes=40_000))

    run(check, StoreLimits(100, 100_000, 60))


def test_an_answer_takes_the_place_of_the_body_and_those_fetched_give_way() -> None:
    async def check(store: MemoryStore) -> None:
        for name in ("old", "new", "large"):
            await store.add(record(name, client=name, body_bytes=10_000))
        await store.finish("new", answer(20_000), now_s=1.0)
        await store.finish("old", answer(20_000), now_s=2.0)
        assert store.used_bytes == 2 * (RECORD_BYTES + 20_000) + RECORD_BYTES + 10_000
        with pytest.raises(OverloadedError, match="the answer has 60000 bytes"):
            await store.finish("large", answer(60_000), now_s=3.0)
        await store.mark_fetched("new")
        await store.finish("large", answer(60_000), now_s=3.0)
        assert await store.get("new") is None
        assert await store.get("old") is not None

    run(check, StoreLimits(100, 100_000, 60))


def test_a_key_is_free_when_its_job_is_gone() -> None:
    async def check(store: MemoryStore) -> None:
        assert (await store.add(record("1", key="k"))).id == "1"
        assert (await store.add(record("2", key="k"))).id == "1"
        await store.check_room("a", 10**12, "k")  # needs no room
        await store.finish("1", answer(1), now_s=0.0)
        await asyncio.sleep(0.1)
        assert len(store) == 0
        assert (await store.add(record("3", key="k"))).id == "3"
        assert await store.remove("3")
        assert not await store.remove("3")

    run(check, StoreLimits(100, MANY_BYTES, 0.02))


def test_the_least_counted_bytes_hold_the_message_of_an_error() -> None:
    async def check(store: MemoryStore) -> None:
        for client in ("a", "b"):
            await store.add(record(client, client))
        await store.finish("a", answer(LEAST_BYTES), now_s=0.0)
        assert store.used_bytes == 2 * SMALL

    run(check, StoreLimits(100, 2 * SMALL + 10, 60))


def test_ids_tell_their_process_and_cannot_be_made_up() -> None:
    ids, others = JobIds(), JobIds()
    one, two = ids.new(), ids.new()
    assert one != two
    assert ids.origin(one) == "this process"
    assert others.origin(one) == "another process"
    swapped = one[:45] + two[45:]
    for text in (swapped, one[:-1], f"{one}0", one.upper(), "", "x"):
        assert ids.origin(text) == "nobody"

"""The stored answers in Redis, which instances share. It never costs a request more than 20 ms.

A call that fails, is late or answers something else is a miss. After five in a row none is made
until Redis answers a probe.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from serve.cache.breaker import FIRST_PAUSE_S, Breaker
from serve.cache.counters import Counters
from serve.cache.entry import Entry, decode
from serve.cache.redis_client import is_refusal, open_client

if TYPE_CHECKING:
    from redis.asyncio import Redis

T = TypeVar("T")

CALL_S = 0.02  # for a call, with its connection
CONNECTIONS = 16  # at once, and calls: one more is not made
LARGEST_BYTES = 2**20  # of an entry: 8 ms at 1 Gbit/s
FULL_S = 1.0  # without writes, after one was refused
PREFIX = "slipway:answer:1:"

_log = logging.getLogger(__name__)


class RefusalError(Exception):
    """Redis refuses to write."""


class GarbageError(Exception):
    """Something else than Redis answers, or somebody else wrote under a key."""


class SharedCache:
    """Entries by key in Redis. Use it on the event loop only."""

    def __init__(
        self, url: str, ttl_s: float, counters: Counters, *, pause_s: float = FIRST_PAUSE_S
    ) -> None:
        """Connect to nothing yet.

        Args:
            url: of the Redis.
            ttl_s: seconds for which an answer is kept, from when it was computed on.
            counters: to count in.
            pause_s: until Redis is probed after failures.
        """
        self._ttl_s = ttl_s
        self._counters = counters
        self._client: Redis = open_client(url, timeout_s=CALL_S, connections=CONNECTIONS)
        self._calls = 0
        self._writes: set[asyncio.Task[None]] = set()
        self._write_after_s = 0.0  # on the clock of the loop
        self.breaker = Breaker(
            self._probe, lambda text: _log.warning("cache in Redis: %s", text), pause_s=pause_s
        )

    async def get(self, key: str) -> tuple[Entry, float] | None:
        """Return an answer, and since when it is known; None if there is none, or no Redis."""

        async def read() -> tuple[Entry, float] | None:
            data = await self._client.get(PREFIX + key)
            if data is None:
                return None
            entry = decode(data, key)
            _check(entry is not None)
            return entry

        entry = await self._call(read)
        if entry is None or time.time() - entry[1] >= self._ttl_s:
            return None
        self._counters.shared_hits += 1
        return entry

    def put(self, key: str, entry: Entry, since_s: float) -> None:
        """Begin to store an answer; nobody waits for it."""
        now_s = asyncio.get_running_loop().time()
        left_ms = round(1000 * (self._ttl_s - (time.time() - since_s)))
        is_fit = entry.size_bytes <= LARGEST_BYTES and left_ms > 0
        is_free = len(self._writes) < CONNECTIONS and self.breaker.state == "closed"
        if not is_fit or not is_free or now_s < self._write_after_s:
            self._counters.shared_skipped += 1
            return
        data = entry.encode(key, since_s)
        task = asyncio.get_running_loop().create_task(self._put(key, data, left_ms))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    async def close(self) -> None:
        """End what is under way, and the connections."""
        self.breaker.close()
        for task in self._writes:
            task.cancel()
        try:
            async with asyncio.timeout(CALL_S):
                await self._client.aclose()
        except Exception:  # the process ends, and its sockets with it
            _log.debug("the connections to Redis were not closed in time")

    async def _put(self, key: str, data: bytes, ttl_ms: int) -> None:
        async def write() -> None:
            _check(await self._client.set(PREFIX + key, data, px=ttl_ms) is True)

        try:
            await self._call(write)
        except RefusalError:
            self._write_after_s = asyncio.get_running_loop().time() + FULL_S
            self._counters.shared_skipped += 1

    async def _probe(self) -> None:
        async with asyncio.timeout(CALL_S):
            _check(await self._client.get(PREFIX + "probe") is None)

    async def _call(self, call: Callable[[], Awaitable[T]]) -> T | None:
        """Return what a call returns; None if it fails, is late, or is not made.

        Raises:
            RefusalError: Redis answers, and refuses to write.
        """
        if self.breaker.state == "open" or self._calls >= CONNECTIONS:
            self._counters.shared_skipped += 1
            return None
        self._calls += 1
        try:
            async with asyncio.timeout(CALL_S):
                answer = await call()
        except Exception as error:  # garbage makes a parser raise anything
            if is_refusal(error):
                raise RefusalError from error
            self._counters.shared_failures += 1
            self.breaker.fail()
            return None
        finally:
            self._calls -= 1
        self.breaker.succeed()
        return answer


def _check(is_expected: bool) -> None:
    if not is_expected:
        raise GarbageError

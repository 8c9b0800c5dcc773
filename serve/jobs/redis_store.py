"""Keep jobs in Redis: every process and instance of the server sees them.

The files of a job stay in the process that runs it; Redis has the record, and the answer at its
end. No name of a key holds an id, which is a secret, or what a client wrote: all are digests.

A process that has jobs renews its own key. A job that has not ended and whose process has no key
any more is lost. A job whose record is gone was deleted, by whichever process; its own one then
stops it.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import orjson

from runtime.errors import UnavailableError
from serve.cache.redis_client import is_conflict, is_refusal, open_client
from serve.errors import GoneError, OverloadedError
from serve.jobs.record import LEAST_BYTES, RECORD_BYTES, Answer, Record
from serve.jobs.room import Holding, StoreLimits, plan_growth, plan_room

PREFIX = "slipway:jobs:1:"
INDEX = f"{PREFIX}index"  # a hash: what each job takes, by its name
CALL_S = 2.0  # for a call; an answer may have many megabytes
CONNECTIONS = 16  # more calls wait
BEAT_S = 2.0  # between two looks at the jobs of this process
PROCESS_S = 15.0  # after which a process that does not renew its key has ended
ATTEMPTS = 20  # to change the index, which others change too
PATIENCE_S = 60.0  # to store an answer while Redis is away

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Entry:
    """Hold what the index tells of a job."""

    holding: Holding
    key: str  # digest of its Idempotency-Key; "" without one
    arrived_s: float
    until_s: float  # when its record is gone at the latest

    def encode(self) -> bytes:
        """Return the entry as JSON."""
        holding = self.holding
        fields = (holding.client, holding.size_bytes, holding.is_fetched)
        return orjson.dumps([*fields, self.key, self.arrived_s, self.until_s])


class RedisStore:
    """Jobs in Redis. Use it on the event loop only.

    Its limits are those of all instances together.
    """

    def __init__(self, url: str, limits: StoreLimits, *, timeout_s: float) -> None:
        """Connect to nothing yet.

        Args:
            url: of the Redis.
            limits: of all jobs; a client may hold as much as is left free.
            timeout_s: within which a job ends.
        """
        self._limits = limits
        self._timeout_s = timeout_s
        self._client: Any = open_client(url, timeout_s=CALL_S, connections=2 * CONNECTIONS)
        self._calls = asyncio.Semaphore(CONNECTIONS)
        self._own: dict[str, int] = {}  # bytes of the bodies of this process's jobs, until they end
        self._beat: asyncio.Task[None] | None = None
        self._lose: Callable[[str], None] = lambda job_id: None

    def open(self, lose: Callable[[str], None]) -> None:
        """Begin to renew the key of this process, and to look for jobs that others deleted."""
        self._lose = lose
        self._beat = asyncio.get_running_loop().create_task(self._beats())

    async def close(self) -> None:
        """End the connections."""
        if self._beat is not None:
            self._beat.cancel()
        with suppress(Exception):
            async with asyncio.timeout(CALL_S):
                await self._client.aclose()

    @property
    def used_bytes(self) -> int:
        """Return the bytes of the bodies that this process holds."""
        return sum(tuple(self._own.values()))

    async def check_room(self, client: str, body_bytes: int, key: str | None) -> None:
        """Raise OverloadedError if `add` would; a job whose key is stored needs no room."""
        async with self._calling():
            index = _read_index(await self._client.hgetall(INDEX))
        if key is None or not any(entry.key == _digest(key) for entry in index.values()):
            size_bytes = RECORD_BYTES + max(LEAST_BYTES, body_bytes)
            plan_room(_holdings(index), self._limits, _digest(client), size_bytes)

    async def add(self, record: Record) -> Record:
        """Store a new job; or return the one that is stored with the same key.

        Raises:
            OverloadedError: there is no room for it.
        """
        name, key = _name(record.id), _digest(record.key) if record.key is not None else ""
        until_s = record.submitted_s + self._timeout_s + self._limits.ttl_s

        async def change(pipe: Any, index: Mapping[str, _Entry]) -> Record:
            now_s = time.time()
            gone = [other for other, entry in index.items() if entry.until_s <= now_s]
            for other, entry in index.items():
                if key and entry.key == key:
                    stored = await self._stored(pipe, other)
                    if stored is not None:
                        return stored
                    gone.append(other)
            left = {other: entry for other, entry in index.items() if other not in gone}
            client = _digest(record.client)
            gone += plan_room(_holdings(left), self._limits, client, record.size_bytes)
            holding = Holding(name, client, record.size_bytes, is_fetched=False)
            entry = _Entry(holding, key, record.submitted_s, until_s)
            pipe.multi()
            _drop(pipe, gone)
            self._keep(pipe, name, entry)
            life_ms = round(1000 * (until_s - time.time()))
            pipe.hset(f"{PREFIX}job:{name}", "record", _encode(record))
            pipe.pexpire(f"{PREFIX}job:{name}", life_ms)
            pipe.set(_process_key(record.id), 1, px=round(1000 * PROCESS_S))
            return record

        stored: Record = await self._change(change)
        if stored is record:
            self._own[record.id] = record.body_bytes
        return stored

    async def begin(self, job_id: str) -> None:
        """Note that the work of a job has begun."""
        async with self._calling():
            life_ms = round(1000 * self._timeout_s)
            await self._client.set(f"{PREFIX}begun:{_name(job_id)}", 1, px=life_ms)

    async def get(self, job_id: str, *, with_body: bool = True) -> Record | None:
        """Return a job; None if it is not stored.

        Raises:
            GoneError: it is lost, as its process ended.
        """
        name = _name(job_id)
        async with self._calling():
            # a transaction may not even read while Redis is full
            pipe = self._client.pipeline(transaction=False)
            pipe.hget(f"{PREFIX}job:{name}", "record")
            pipe.exists(f"{PREFIX}begun:{name}")
            pipe.exists(_process_key(job_id))
            data, has_begun, has_process = await pipe.execute()
            record = _decode(data)
            if record is None or record.id != job_id:
                return None
            if record.answer is not None and (with_body or record.answer.status >= 400):
                body = await self._client.hget(f"{PREFIX}job:{name}", "body")
                if body is None:  # it expired between the two calls
                    return None
                return replace(record, answer=replace(record.answer, body=body))
        if record.answer is None and not has_process:
            raise GoneError("the job is lost: its process ended before it did; send it again")
        return replace(record, has_begun=bool(has_begun))

    async def finish(self, job_id: str, answer: Answer, *, now_s: float) -> None:
        """Store the answer of a job in place of its body; wait a minute for a Redis that is away.

        Raises:
            OverloadedError: there is no room for the answer.
        """
        end_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                await self._finish(job_id, answer, now_s)
            except UnavailableError:
                if time.monotonic() > end_s:
                    raise
                await asyncio.sleep(1.0)
            else:
                return

    async def _finish(self, job_id: str, answer: Answer, now_s: float) -> None:
        name, until_s = _name(job_id), now_s + self._limits.ttl_s

        async def change(pipe: Any, index: Mapping[str, _Entry]) -> None:
            record = _decode(await pipe.hget(f"{PREFIX}job:{name}", "record"))
            entry = index.get(name)
            if record is None or entry is None:  # deleted meanwhile
                pipe.multi()
                return
            ended = replace(record, answer=answer, ended_s=now_s)
            growth_bytes = ended.size_bytes - entry.holding.size_bytes
            gone = plan_growth(_holdings(index), self._limits, growth_bytes, answer)
            holding = replace(entry.holding, size_bytes=ended.size_bytes)
            pipe.multi()
            _drop(pipe, gone)
            self._keep(pipe, name, replace(entry, holding=holding, until_s=until_s))
            fields = {"record": _encode(ended), "body": answer.body}
            pipe.hset(f"{PREFIX}job:{name}", mapping=fields)
            pipe.pexpire(f"{PREFIX}job:{name}", round(1000 * self._limits.ttl_s))
            pipe.delete(f"{PREFIX}begun:{name}")

        await self._change(change)
        self._own.pop(job_id, None)

    async def mark_fetched(self, job_id: str) -> None:
        """Let a job, whose client has its answer, give way to others."""
        name = _name(job_id)

        async def change(pipe: Any, index: Mapping[str, _Entry]) -> None:
            entry = index.get(name)
            pipe.multi()
            if entry is not None:
                self._keep(
                    pipe, name, replace(entry, holding=replace(entry.holding, is_fetched=True))
                )

        with suppress(UnavailableError):  # the client gets its answer anyway
            await self._change(change)

    async def remove(self, job_id: str) -> bool:
        """Remove a job; return whether it was stored."""
        name = _name(job_id)
        self._own.pop(job_id, None)
        async with self._calling():
            pipe = self._client.pipeline(transaction=False)
            _drop(pipe, [name])
            _, count = await pipe.execute()
        return bool(count)

    def _keep(self, pipe: Any, name: str, entry: _Entry) -> None:
        pipe.hset(INDEX, name, entry.encode())
        # so that it goes without a process that lives, and not before the last of its jobs
        pipe.pexpire(INDEX, round(1000 * (self._timeout_s + self._limits.ttl_s)))

    async def _stored(self, pipe: Any, name: str) -> Record | None:
        """Return a job by its name; None if it is gone or lost."""
        record = _decode(await pipe.hget(f"{PREFIX}job:{name}", "record"))
        if record is None or record.answer is not None:
            return record
        return record if await pipe.exists(_process_key(record.id)) else None

    async def _change(self, change: Callable[..., Any]) -> Any:
        """Change the index and the jobs in one step; try again if another process came first.

        Args:
            change: takes the pipeline, which watches the index, and the index; queues the commands
                after `multi`, or none; returns the result.
        """
        async with self._calling():
            for _ in range(ATTEMPTS):
                async with self._client.pipeline(transaction=True) as pipe:
                    await pipe.watch(INDEX)
                    index = _read_index(await pipe.hgetall(INDEX))
                    result = await change(pipe, index)
                    try:
                        await pipe.execute()
                    except Exception as error:
                        if not is_conflict(error):
                            raise
                    else:
                        return result
        raise UnavailableError("too many jobs change at once; try again later", reason="jobs")

    @asynccontextmanager
    async def _calling(self) -> AsyncIterator[None]:
        """Surround calls: bound them, and say in our words what went wrong."""
        try:
            async with self._calls:
                yield
        except (UnavailableError, OverloadedError, GoneError):
            raise
        except Exception as error:  # garbage makes a parser raise anything
            if is_refusal(error):
                raise OverloadedError(
                    "Redis, which keeps the jobs, is full; try again later", reason="jobs"
                ) from error
            _log.warning("Redis, which keeps the jobs, does not answer: %s", type(error).__name__)
            raise UnavailableError(
                "Redis, which keeps the jobs, does not answer; try again later", reason="jobs"
            ) from error

    async def _beats(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            with suppress(UnavailableError, OverloadedError):
                await self._look()

    async def _look(self) -> None:
        """Renew the key of this process, and tell which of its jobs were deleted."""
        own = tuple(self._own)
        if not own:
            return
        async with self._calling():
            pipe = self._client.pipeline(transaction=False)
            pipe.set(_process_key(own[0]), 1, px=round(1000 * PROCESS_S))
            for job_id in own:
                pipe.exists(f"{PREFIX}job:{_name(job_id)}")
            _, *exist = await pipe.execute()
        for job_id, exists in zip(own, exist, strict=True):
            if not exists and self._own.pop(job_id, None) is not None:
                self._lose(job_id)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


_name = _digest


def _process_key(job_id: str) -> str:
    """Return the key of the process that gave an id out."""
    return f"{PREFIX}process:{job_id.partition('-')[0]}"


def _drop(pipe: Any, names: list[str]) -> None:
    if names:
        pipe.hdel(INDEX, *names)
        keys = [f"{PREFIX}{kind}:{name}" for name in names for kind in ("job", "begun")]
        pipe.delete(*keys)


def _read_index(data: Mapping[bytes, bytes]) -> dict[str, _Entry]:
    """Return the entries in the order of their arrival; some of their jobs may have expired."""
    entries = dict[str, _Entry]()
    for field, value in data.items():
        client, size_bytes, is_fetched, key, arrived_s, until_s = orjson.loads(value)
        name = field.decode()
        holding = Holding(name, client, size_bytes, is_fetched)
        entries[name] = _Entry(holding, key, arrived_s, until_s)
    return dict(sorted(entries.items(), key=lambda item: item[1].arrived_s))


def _holdings(index: Mapping[str, _Entry]) -> list[Holding]:
    now_s = time.time()
    return [entry.holding for entry in index.values() if entry.until_s > now_s]


def _encode(record: Record) -> bytes:
    answer = record.answer
    return orjson.dumps(
        {
            "id": record.id,
            "submitted_s": record.submitted_s,
            "body_bytes": record.body_bytes,
            "fingerprint": record.fingerprint,
            "ended_s": record.ended_s,
            "status": answer.status if answer else None,
            "headers": [
                (name.decode("latin-1"), text.decode("latin-1")) for name, text in answer.headers
            ]
            if answer
            else [],
        }
    )


def _decode(data: bytes | None) -> Record | None:
    """Return a record without the body of its answer."""
    if data is None:
        return None
    fields = orjson.loads(data)
    headers = tuple((n.encode("latin-1"), text.encode("latin-1")) for n, text in fields["headers"])
    status = fields["status"]
    return Record(
        id=fields["id"],
        client="",
        submitted_s=fields["submitted_s"],
        body_bytes=fields["body_bytes"],
        fingerprint=fields["fingerprint"],
        answer=None if status is None else Answer(status, headers, b""),
        ended_s=fields["ended_s"],
    )

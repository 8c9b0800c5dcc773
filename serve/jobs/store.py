"""Keep jobs: what a store does, and a store in memory."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from runtime.engine.allocator import release_free_memory
from serve.jobs.record import LEAST_BYTES, RECORD_BYTES, Answer, Record
from serve.jobs.room import Holding, StoreLimits, plan_growth, plan_room

RELEASE_BYTES = 16 * 2**20  # at once, after which free memory goes back to the system
RELEASE_S = 0.5  # after the last of them is gone


class JobStore(Protocol):
    """A store of jobs. Each call is one step: none sees half of another.

    A store outside of the process raises UnavailableError where it does not answer.
    """

    def open(self, lose: Callable[[str], None]) -> None:
        """Begin; `lose` is called with the id of a job of this process that somebody removed."""

    async def close(self) -> None:
        """End."""

    @property
    def used_bytes(self) -> int:
        """Return the bytes that jobs take in this process."""

    async def check_room(self, client: str, body_bytes: int, key: str | None) -> None:
        """Raise OverloadedError if `add` would."""

    async def add(self, record: Record) -> Record:
        """Store a new job; or return the one that is stored with the same key.

        Raises:
            OverloadedError: there is no room for it.
        """

    async def begin(self, job_id: str) -> None:
        """Note that the work of a job has begun."""

    async def get(self, job_id: str, *, with_body: bool = True) -> Record | None:
        """Return a job; None if it is not stored.

        Args:
            job_id: the job.
            with_body: False where the body of an answer without an error is not needed.

        Raises:
            GoneError: it is lost, as its process ended.
        """

    async def finish(self, job_id: str, answer: Answer, *, now_s: float) -> None:
        """Store the answer of a job in place of its body, and begin its time to live.

        Raises:
            OverloadedError: there is no room for the answer.
        """

    async def mark_fetched(self, job_id: str) -> None:
        """Let a job, whose client has its answer, give way to others."""

    async def remove(self, job_id: str) -> bool:
        """Remove a job; return whether it was stored."""


@dataclass(slots=True)
class _Entry:
    record: Record
    is_fetched: bool = False
    expiry: asyncio.TimerHandle | None = None  # None until the job has ended


class MemoryStore:
    """Jobs in the memory of this process. Use it on the event loop only.

    They are lost with the process.
    """

    def __init__(self, limits: StoreLimits) -> None:
        """Begin empty."""
        self._limits = limits
        self._entries: dict[str, _Entry] = {}  # in the order of their arrival
        self._keys: dict[str, str] = {}  # key: id
        self._peak_bytes = 0  # since memory was released

    def open(self, lose: Callable[[str], None]) -> None:
        """Do nothing: nobody else removes jobs."""

    async def close(self) -> None:
        """Do nothing: the jobs end with the process."""

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def used_bytes(self) -> int:
        """Return the bytes of all jobs."""
        return sum(record.size_bytes for record in self._records())

    async def check_room(self, client: str, body_bytes: int, key: str | None) -> None:
        """Raise OverloadedError if a job would find no room; one whose key is stored needs none."""
        if key is not None and key in self._keys:
            return
        size_bytes = RECORD_BYTES + max(LEAST_BYTES, body_bytes)
        for job_id in plan_room(self._holdings(), self._limits, client, size_bytes):
            self._drop(job_id)

    async def add(self, record: Record) -> Record:
        """Store a new job; or return the one that is stored with the same key.

        Raises:
            OverloadedError: there is no room for it.
        """
        if record.key is not None and record.key in self._keys:
            return self._entries[self._keys[record.key]].record
        await self.check_room(record.client, record.body_bytes, record.key)
        self._entries[record.id] = _Entry(record)
        if record.key is not None:
            self._keys[record.key] = record.id
        self._peak_bytes = max(self._peak_bytes, self.used_bytes)
        return record

    async def begin(self, job_id: str) -> None:
        """Note that the work of a job has begun."""
        if entry := self._entries.get(job_id):
            entry.record = replace(entry.record, has_begun=True)

    async def get(self, job_id: str, *, with_body: bool = True) -> Record | None:
        """Return a job; None if it is not stored."""
        entry = self._entries.get(job_id)
        return entry.record if entry else None

    async def finish(self, job_id: str, answer: Answer, *, now_s: float) -> None:
        """Store the answer of a job in place of its body, and begin its time to live.

        Raises:
            OverloadedError: there is no room for the answer.
        """
        entry = self._entries[job_id]
        ended = replace(entry.record, answer=answer, ended_s=now_s)
        growth_bytes = ended.size_bytes - entry.record.size_bytes
        for gone in plan_growth(self._holdings(), self._limits, growth_bytes, answer):
            self._drop(gone)
        entry.record = ended
        loop = asyncio.get_running_loop()
        entry.expiry = loop.call_later(self._limits.ttl_s, self._drop, job_id)
        self._peak_bytes = max(self._peak_bytes, self.used_bytes)
        self._plan_release()

    async def mark_fetched(self, job_id: str) -> None:
        """Let a job, whose client has its answer, give way to others."""
        if job_id in self._entries:
            self._entries[job_id].is_fetched = True

    async def remove(self, job_id: str) -> bool:
        """Remove a job; return whether it was stored."""
        is_stored = job_id in self._entries
        self._drop(job_id)
        return is_stored

    def _records(self) -> list[Record]:
        return [entry.record for entry in tuple(self._entries.values())]

    def _holdings(self) -> list[Holding]:
        return [
            Holding(name, entry.record.client, entry.record.size_bytes, entry.is_fetched)
            for name, entry in self._entries.items()
        ]

    def _drop(self, job_id: str) -> None:
        entry = self._entries.pop(job_id, None)
        if entry is None:
            return
        if entry.expiry is not None:
            entry.expiry.cancel()
        if entry.record.key is not None:
            del self._keys[entry.record.key]
        self._plan_release()

    def _plan_release(self) -> None:
        """Give free memory back soon after large bodies and answers are gone."""
        if self._peak_bytes > RELEASE_BYTES and self.used_bytes < self._peak_bytes // 2:
            self._peak_bytes = self.used_bytes
            asyncio.get_running_loop().call_later(RELEASE_S, release_free_memory)

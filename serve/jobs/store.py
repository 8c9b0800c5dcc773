"""Keep jobs: what a store does, and a store in memory."""

import asyncio
from dataclasses import dataclass, replace
from typing import Protocol

from runtime.engine.allocator import release_free_memory
from serve.errors import OverloadedError
from serve.jobs.record import LEAST_BYTES, RECORD_BYTES, Answer, Record

RETRY_S = 10  # after which a full store may have room
RELEASE_BYTES = 16 * 2**20  # at once, after which free memory goes back to the system
RELEASE_S = 0.5  # after the last of them is gone


class JobStore(Protocol):
    """A store of jobs. Each call is one step: none sees half of another."""

    async def check_room(self, client: str, body_bytes: int, key: str | None) -> None:
        """Raise OverloadedError if `add` would."""

    async def add(self, record: Record) -> Record:
        """Store a new job; or return the one that is stored with the same key.

        Raises:
            OverloadedError: there is no room for it.
        """

    async def get(self, job_id: str) -> Record | None:
        """Return a job; None if it is not stored."""

    async def finish(self, job_id: str, answer: Answer, *, now_s: float) -> None:
        """Store the answer of a job in place of its body, and begin its time to live.

        Raises:
            OverloadedError: there is no room for the answer.
        """

    async def mark_fetched(self, job_id: str) -> None:
        """Let a job, whose client has its answer, give way to others."""

    async def remove(self, job_id: str) -> bool:
        """Remove a job; return whether it was stored."""


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """The most that a store holds."""

    jobs: int
    size_bytes: int  # of the bodies of jobs that wait, and of the answers of those that ended
    ttl_s: float  # after the end of a job


@dataclass(slots=True)
class _Entry:
    record: Record
    is_fetched: bool = False
    expiry: asyncio.TimerHandle | None = None  # None until the job has ended


class MemoryStore:
    """Jobs in the memory of this process. Use it on the event loop only.

    A client (address) may hold as much as is left free for the others: half of all if it is alone.
    So nobody fills the store, and the answers of those who have half of it find room too.
    """

    def __init__(self, limits: StoreLimits) -> None:
        """Begin empty."""
        self._limits = limits
        self._entries: dict[str, _Entry] = {}  # in the order of their arrival
        self._keys: dict[str, str] = {}  # key: id
        self._peak_bytes = 0  # since memory was released

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
        while not self._has_room(client, size_bytes):
            if not self._evict():
                own = sum(record.client == client for record in self._records())
                raise OverloadedError(
                    f"{len(self)} jobs of {self.used_bytes} bytes are stored, {own} of this "
                    f"client; allowed: {self._limits.jobs} of {self._limits.size_bytes} bytes, and "
                    "for one client as much as is free; fetch or delete some, or try again later",
                    reason="jobs",
                    retry_after_s=RETRY_S,
                )

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

    async def get(self, job_id: str) -> Record | None:
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
        while not self._has_room_to_grow(growth_bytes):
            if not self._evict():
                raise OverloadedError(
                    f"the answer has {answer.size_bytes} bytes, and jobs of {self.used_bytes} "
                    f"bytes are stored; allowed: {self._limits.size_bytes} bytes; try again later",
                    reason="jobs",
                )
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

    def _has_room(self, client: str, size_bytes: int) -> bool:
        """Return whether a job leaves the others as much as its client then holds."""
        own = [record.size_bytes for record in self._records() if record.client == client]
        free = self._limits.jobs - len(self)
        free_bytes = self._limits.size_bytes - self.used_bytes
        fits = size_bytes <= free_bytes and (not own or sum(own) + size_bytes <= free_bytes)
        return len(own) + 1 <= free and (fits or not len(self))

    def _has_room_to_grow(self, size_bytes: int) -> bool:
        """Return whether a stored job may take more; alone, it may take any."""
        fits = self.used_bytes + size_bytes <= self._limits.size_bytes
        return fits or size_bytes <= 0 or len(self) == 1

    def _evict(self) -> bool:
        """Drop the oldest job that was fetched; return False if there is none."""
        fetched = (name for name, entry in self._entries.items() if entry.is_fetched)
        job_id = next(fetched, None)
        if job_id is None:
            return False
        self._drop(job_id)
        return True

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

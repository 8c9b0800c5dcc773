"""The cache of answers: in the memory of the process, and in Redis where it is configured."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from starlette.responses import Response

from runtime.artifact.manifest import Task
from serve.cache.control import Control
from serve.cache.counters import CacheFigures, Counters
from serve.cache.entry import Entry
from serve.cache.flights import Flights
from serve.cache.keys import identity_of, settings_digest
from serve.cache.memory_cache import MemoryCache
from serve.cache.runs import Runs, Value
from serve.cache.shared import SharedCache
from serve.repository.memory.budget import MIB
from serve.repository.memory.keeper import MemoryKeeper
from serve.repository.models import ModelRepository
from serve.routing.choice import Choice
from serve.settings import Settings

SWEEP_S = 5.0  # between two looks for what is too old


@dataclass(frozen=True, slots=True)
class Computed:
    """An answer that was computed, or came from the runs that were stored."""

    entry: Entry
    timing: str  # the value of Server-Timing
    stages_s: Mapping[str, float]
    age_s: float | None = None  # None: a graph ran


class ResultCache:
    """Answers by key. Use it on the event loop; the runs of its requests go in worker threads."""

    def __init__(self, settings: Settings) -> None:
        """Begin empty."""
        self.counters = Counters()
        limit_bytes = settings.cache_mib * MIB
        self.memory: MemoryCache[Value] = MemoryCache(
            limit_bytes, settings.cache_ttl_s, counters=self.counters
        )
        self.flights: Flights[Computed] = Flights()
        self.settings_digest = settings_digest(settings)
        self._tasks = settings.cache
        self._url = settings.redis_url if settings.cache else ""
        self._shared: SharedCache | None = None
        self._sweep: asyncio.Task[None] | None = None

    def open(self, keeper: MemoryKeeper) -> None:
        """Begin to drop what is too old; the keeper may drop everything."""
        keeper.add_spare(self.memory)
        self._sweep = asyncio.get_running_loop().create_task(_sweep(self.memory))
        if self._url:
            self._shared = SharedCache(self._url, self.memory.ttl_s, self.counters)

    async def close(self) -> None:
        """End."""
        if self._sweep is not None:
            self._sweep.cancel()
        if self._shared is not None:
            await self._shared.close()

    def covers(self, task: Task) -> bool:
        """Return whether the answers of a task are stored."""
        return task in self._tasks

    def runs(self, control: Control) -> Runs:
        """Return the runs of a request."""
        return Runs(self.memory, may_read=control.may_read, may_store=control.may_store)

    async def find(self, key: str, control: Control) -> Response | None:
        """Return the stored answer, with its age; None if there is none."""
        stored = self.memory.get(key)
        if stored is not None and isinstance(stored.value, Entry):
            entry, since_s = stored.value, stored.since_s
        else:
            shared = await self._shared.get(key) if self._shared else None
            if shared is None:
                return None
            entry, since_s = shared
            self.memory.put(key, entry, entry.size_bytes, since_s=since_s)
        age_s = max(0.0, time.time() - since_s)
        if control.max_age_s is not None and age_s > control.max_age_s:
            return None
        self.counters.hits += 1
        return as_hit(entry.response(), age_s)

    def store(self, key: str, entry: Entry, since_s: float | None) -> None:
        """Keep an answer.

        Args:
            key: from `answer_key`.
            entry: the answer.
            since_s: when the oldest run was made that it comes from, since 1970; None: now.
        """
        since_s = time.time() if since_s is None else since_s
        self.memory.put(key, entry, entry.size_bytes, since_s=since_s)
        if self._shared is not None:
            self._shared.put(key, entry, since_s)

    def figures(self) -> CacheFigures:
        """Return the cache as metrics show it."""
        memory = self.memory
        shared = self._shared.breaker.state if self._shared else "none"
        return CacheFigures(
            self.counters, len(memory), memory.used_bytes, memory.limit_bytes, shared
        )


def identities(
    repository: ModelRepository, ids: Iterable[str], choice: Choice
) -> Mapping[str, str]:
    """Return the identity of each model in the version of the choice, or why it cannot answer."""
    return {model_id: _identity(repository, model_id, choice) for model_id in ids}


def _identity(repository: ModelRepository, model_id: str, choice: Choice) -> str:
    model = repository.loaded(model_id, choice)
    if model is not None:
        return identity_of(model)
    return repository.status(model_id).state.value if model_id in repository else "absent"


def as_hit(response: Response, age_s: float) -> Response:
    """Mark an answer as one that was computed some seconds ago."""
    response.headers["Age"] = str(int(age_s))
    response.headers["X-Cache"] = "hit"
    return response


async def _sweep(memory: MemoryCache[Value]) -> None:
    while True:
        await asyncio.sleep(SWEEP_S)
        memory.expire()

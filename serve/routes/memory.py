"""GET /v1/memory and POST /v1/memory/clear: what takes memory, and how it is freed.

Their fields: serve/API.md.
"""

import time
from collections.abc import Sequence
from typing import Annotated, TypedDict

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from runtime.engine.allocator import release_free_memory
from runtime.engine.memory import (
    ProcessMemory,
    anonymous_bytes,
    child_processes,
    memory_cgroup,
    process_memory,
)
from serve.errors import json_response
from serve.http.administrator import check_key
from serve.repository.memory.keeper import MemoryKeeper
from serve.repository.memory.ledger import CostJson
from serve.repository.models import ModelRepository
from serve.repository.slot import Slot
from serve.repository.status import ModelState
from serve.state import State


class LimitJson(TypedDict):
    """A limit of memory."""

    source: Annotated[str, "cgroup v1, cgroup v2 or SLIPWAY_MEMORY_MIB"]
    limit_bytes: int
    allowed_bytes: int
    used_bytes: int


class VersionMemoryJson(TypedDict):
    """The memory of a version."""

    state: ModelState
    users: Annotated[int, "running requests"]
    idle_s: Annotated[float | None, "since the last request"]
    cost: Annotated[CostJson | None, "as it was measured when the model was loaded; null before"]


class ModelMemoryJson(VersionMemoryJson):
    """The memory of a model's default version, and of its candidate."""

    candidate: VersionMemoryJson


class DecodersJson(TypedDict):
    """The memory of the processes that decode clips and sounds."""

    processes: int
    anonymous_bytes: int


class CgroupJson(TypedDict):
    """The memory of the container's cgroup."""

    version: int
    limit_bytes: int | None
    used_bytes: Annotated[int | None, "without page cache"]
    oom_kills: int | None


class BudgetJson(TypedDict):
    """The limits of memory, and what they leave."""

    limits: list[LimitJson]
    free_bytes: Annotated[int | None, "less than 0 if too much is taken; null without a limit"]
    given_bytes: Annotated[int, "room that loads, runs and decoders have now"]
    cache_bytes: Annotated[int, "stored answers, which make room when it is needed"]
    short: Annotated[bool, "memory is used up, and nothing can be unloaded"]
    refusals: int


class MemoryJson(BudgetJson):
    """The memory that is taken, in bytes, and how much there is."""

    evictions: int
    models: dict[str, ModelMemoryJson | VersionMemoryJson]
    process: ProcessMemory | None
    decoders: DecodersJson
    cgroup: CgroupJson | None


class WorkersMemoryJson(TypedDict):
    """The memory of several workers, and what it comes to."""

    workers: list[MemoryJson]
    refusals: int
    evictions: int
    given_bytes: int
    cache_bytes: int
    short: bool
    cgroup: CgroupJson | None


class ClearedJson(TypedDict):
    """The models that were unloaded."""

    unloaded: list[str]
    freed_bytes: int


async def show_memory(request: Request[State]) -> Response:
    """Answer GET /v1/memory: limits, ledger, and what the system tells of process and cgroup."""
    # the kernel walks all pages of the process
    return json_response(await run_in_threadpool(_figures, request.state["repository"]))


async def clear_memory(request: Request[State]) -> Response:
    """Answer POST /v1/memory/clear: drop stored answers and unused models, give heap back."""
    state = request.state
    key = state["settings"].admin_key
    authorization = request.headers.get("authorization", "")
    check_key(authorization, key, what="memory is cleared")
    content = await run_in_threadpool(_clear, state["repository"])
    return json_response(content)


def merge(figures: Sequence[MemoryJson]) -> WorkersMemoryJson:
    """Return the figures of several workers: a list, and what they come to."""
    return {
        "workers": list(figures),
        "refusals": sum(one["refusals"] for one in figures),
        "evictions": sum(one["evictions"] for one in figures),
        "given_bytes": sum(one["given_bytes"] for one in figures),
        "cache_bytes": sum(one["cache_bytes"] for one in figures),
        "short": all(one["short"] for one in figures),
        "cgroup": figures[0]["cgroup"],
    }


def _clear(repository: ModelRepository) -> ClearedJson:
    before = anonymous_bytes()
    repository.memory.clear_spare()
    unloaded = repository.eviction.evict_all()
    release_free_memory()
    return {"unloaded": list(unloaded), "freed_bytes": max(0, before - anonymous_bytes())}


def _figures(repository: ModelRepository) -> MemoryJson:
    process, decoders, cgroup = process_memory(), child_processes(), memory_cgroup()
    return {
        **_budget(repository.memory),
        "evictions": repository.eviction.count,
        "models": {name: _model(repository, name) for name in repository.ids},
        "process": process,
        "decoders": {"processes": len(decoders), "anonymous_bytes": anonymous_bytes(decoders)},
        "cgroup": None
        if cgroup is None
        else {
            "version": cgroup.version,
            "limit_bytes": cgroup.limit_bytes,
            "used_bytes": cgroup.used_bytes,
            "oom_kills": cgroup.oom_kills,
        },
    }


def _budget(memory: MemoryKeeper) -> BudgetJson:
    return {
        "limits": [
            {
                "source": limit.source,
                "limit_bytes": limit.limit_bytes,
                "allowed_bytes": limit.allowed_bytes,
                "used_bytes": limit.read_used_bytes(),
            }
            for limit in memory.limits
        ],
        "free_bytes": memory.free_bytes,
        "given_bytes": memory.given_bytes,
        "cache_bytes": memory.spare_bytes,
        "short": memory.is_short,
        "refusals": memory.refused,
    }


def _model(repository: ModelRepository, model_id: str) -> ModelMemoryJson | VersionMemoryJson:
    default, candidate = repository.table.defaults[model_id], repository.candidate(model_id)
    content = _slot(repository, default)
    if candidate is None:
        return content
    return {**content, "candidate": _slot(repository, candidate.slot)}


def _slot(repository: ModelRepository, slot: Slot) -> VersionMemoryJson:
    cost = repository.memory.ledger.cost(slot.key)
    return {
        "state": slot.state,
        "users": slot.users,
        "idle_s": round(time.monotonic() - slot.used_s, 1) if slot.used_s else None,
        "cost": cost.to_json() if cost else None,
    }

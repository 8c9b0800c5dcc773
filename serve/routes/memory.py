"""GET /v1/memory and POST /v1/memory/clear: what takes memory, and how it is freed.

Their fields: serve/API.md.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from runtime.artifact.schema import to_json
from runtime.engine.allocator import release_free_memory
from runtime.engine.memory import (
    anonymous_bytes,
    child_processes,
    memory_cgroup,
    process_memory,
)
from serve.errors import json_response
from serve.http.administrator import check_key
from serve.repository.memory.keeper import MemoryKeeper
from serve.repository.models import ModelRepository
from serve.state import State


async def show_memory(request: Request[State]) -> Response:
    """Answer GET /v1/memory: limits, ledger, and what the system tells of process and cgroup."""
    # the kernel walks all pages of the process
    return json_response(await run_in_threadpool(_figures, request.state["repository"]))


async def clear_memory(request: Request[State]) -> Response:
    """Answer POST /v1/memory/clear: unload what no request uses, give free heap back."""
    state = request.state
    key = state["settings"].admin_key
    authorization = request.headers.get("authorization", "")
    check_key(authorization, key, what="memory is cleared")
    content = await run_in_threadpool(_clear, state["repository"])
    return json_response(content)


def merge(figures: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the figures of several workers: a list, and what they come to."""
    names = ("refusals", "evictions", "given_bytes")
    return {
        "workers": list(figures),
        **{name: sum(one[name] for one in figures) for name in names},
        "short": all(one["short"] for one in figures),
        "cgroup": figures[0]["cgroup"],
    }


def _clear(repository: ModelRepository) -> dict[str, Any]:
    before = anonymous_bytes()
    unloaded = repository.eviction.evict_all()
    release_free_memory()
    return {"unloaded": unloaded, "freed_bytes": max(0, before - anonymous_bytes())}


def _figures(repository: ModelRepository) -> dict[str, Any]:
    process, decoders, cgroup = process_memory(), child_processes(), memory_cgroup()
    return {
        **_budget(repository.memory),
        "evictions": repository.eviction.count,
        "models": {name: _model(repository, name) for name in repository.ids},
        "process": to_json(process) if process else None,
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


def _budget(memory: MemoryKeeper) -> dict[str, Any]:
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
        "short": memory.is_short,
        "refusals": memory.refused,
    }


def _model(repository: ModelRepository, model_id: str) -> dict[str, Any]:
    usage = repository.eviction.usage(model_id)
    cost = repository.memory.ledger.cost(model_id)
    return {
        "state": repository.status(model_id).state.value,
        "users": usage.users,
        "idle_s": round(time.monotonic() - usage.used_s, 1) if usage.used_s else None,
        "cost": cost.to_json() if cost else None,
    }

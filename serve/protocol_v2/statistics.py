"""The routes of the extension `statistics`: the counters of each version that is served."""

from collections.abc import Iterator, Sequence
from typing import Any, TypedDict

from starlette.requests import Request
from starlette.responses import Response

from serve.errors import NotFoundError, json_response
from serve.repository.models import unknown_model
from serve.repository.slot import Slot
from serve.scheduling.statistics import StatisticsJson, add_up
from serve.state import State
from serve.text.messages import repr_truncated


class StatisticsAnswerJson(TypedDict):
    """The counters of models, an entry for each version that is served."""

    model_stats: list[StatisticsJson]


async def model_statistics(request: Request[State]) -> Response:
    """Answer GET /v2/models/{model}/stats: the counters of its versions, or of the one named."""
    models, model_id = request.state["repository"], request.path_params["model"]
    if model_id not in models:
        raise unknown_model(models, model_id)
    entries = list(_entries(request, model_id))
    version = request.path_params.get("version", "")
    if not version:
        return json_response({"model_stats": entries})
    named = [entry for entry in entries if entry["version"] == version]
    if not named:
        served = ", ".join(entry["version"] for entry in entries if entry["version"]) or "none"
        raise NotFoundError(
            f"version {repr_truncated(version)} of model {model_id!r} is not served; "
            f"served: {served}"
        )
    return json_response({"model_stats": named})


async def statistics(request: Request[State]) -> Response:
    """Answer GET /v2/models/stats: the counters of all models."""
    ids = request.state["repository"].ids
    entries = [entry for model_id in ids for entry in _entries(request, model_id)]
    return json_response({"model_stats": entries})


def merge_statistics(contents: Sequence[Any]) -> dict[str, Any]:
    """Return the counters of several workers as those of one server."""
    entries: dict[tuple[str, str], list[Any]] = {}
    for content in contents:  # one may follow a change of the routing before another
        for entry in content["model_stats"]:
            entries.setdefault((entry["name"], entry["version"]), []).append(entry)
    return {"model_stats": [add_up(same) for same in entries.values()]}


def _entries(request: Request[State], model_id: str) -> Iterator[StatisticsJson]:
    """Yield the counters of the default version of a model, and of its candidate."""
    repository = request.state["repository"]
    candidate = repository.candidate(model_id)
    slots = [repository.table.defaults[model_id], *([candidate.slot] if candidate else [])]
    counters = request.state["statistics"]
    for slot in slots:
        size_bytes = repository.memory.ledger.kept_bytes(slot.key) if slot.model else None
        yield counters.to_json(model_id, _version(slot), memory_bytes=size_bytes)


def _version(slot: Slot) -> str:
    """Return the version of a slot, loaded or not; "" if none can be."""
    version = slot.usable
    return str(version.manifest.version) if version else ""

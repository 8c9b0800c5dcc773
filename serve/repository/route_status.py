"""The route of each model, and what became of it."""

from typing import Annotated, NotRequired, TypedDict

from serve.repository.models import ModelRepository
from serve.repository.slot import CandidateSlot
from serve.repository.status import ModelState


class DefaultJson(TypedDict):
    """The default version."""

    version: Annotated[int | None, "null: there is none that can serve"]
    state: ModelState


class CandidateJson(TypedDict):
    """The candidate."""

    version: int
    digest: str
    share: Annotated[float, "of the requests, 0 to 1"]
    state: ModelState
    reason: NotRequired[Annotated[str, "of a failure"]]


class RouteJson(TypedDict):
    """The versions that answer the requests for a model."""

    pinned: Annotated[bool, "whether routing.json names the model"]
    default: DefaultJson
    candidate: CandidateJson | None
    previous: Annotated[int | None, "the version that rollback returns to"]
    problem: NotRequired[Annotated[str, "why another version than the pinned one answers"]]


def describe_route(repository: ModelRepository, model_id: str) -> RouteJson:
    """Return `default` and `candidate` with their states, `pinned`, `previous` and `problem`.

    `problem` tells why another version than the pinned one answers; it is absent if there is none.
    """
    route = repository.routing.models.get(model_id)
    slot, candidate = repository.table.defaults[model_id], repository.candidate(model_id)
    served = slot.usable
    content: RouteJson = {
        "pinned": route is not None,
        "default": {
            "version": served.manifest.version if served else None,
            "state": slot.state,
        },
        "candidate": _candidate(candidate) if candidate else None,
        "previous": route.previous.version if route and route.previous else None,
    }
    if problem := repository.route_problem(model_id):
        content["problem"] = problem
    return content


def _candidate(candidate: CandidateSlot) -> CandidateJson:
    status = candidate.slot.status
    content: CandidateJson = {
        "version": candidate.version,
        "digest": candidate.digest,
        "share": candidate.share,
        "state": status.state,
    }
    if status.state is ModelState.FAILED:
        content["reason"] = status.problem
    return content

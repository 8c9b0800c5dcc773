"""The routes of the extension `model_repository`: index, load and unload."""

from collections.abc import Mapping
from typing import Literal, TypedDict

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from runtime.engine.allocator import release_free_memory
from serve.errors import json_response
from serve.protocol_v2.administration import check_administrator, read_parameters
from serve.protocol_v2.fields import flag_of
from serve.repository.models import ModelRepository, unknown_model
from serve.repository.slot import CandidateSlot
from serve.repository.status import ModelState, ModelStatus
from serve.state import State
from serve.workers.sharing import at_every_worker

IndexState = Literal["READY", "LOADING", "UNAVAILABLE"]
_STATES: Mapping[ModelState, IndexState] = {
    ModelState.READY: "READY",
    ModelState.LOADING: "LOADING",
}  # any other: UNAVAILABLE


class IndexJson(TypedDict):
    """A model of the directory and its state."""

    name: str
    version: str
    state: IndexState
    reason: str


async def index(request: Request[State]) -> Response:
    """Answer POST /v2/repository/index: the models of the directory and their states."""
    only_ready = flag_of(await read_parameters(request), "ready", False, "the request")
    repository = request.state["repository"]
    entries = [_entry(repository, model_id) for model_id in repository.ids]
    candidates = [repository.candidate(model_id) for model_id in repository.ids]
    entries += [_candidate_entry(candidate) for candidate in candidates if candidate]
    return json_response([e for e in entries if not only_ready or e["state"] == "READY"])


async def load(request: Request[State]) -> Response:
    """Answer POST /v2/repository/models/{model}/load: 200 when the model is loaded."""
    repository, model_id = await _administered(request)
    repository.reinstate(model_id)
    await repository.wait_for(model_id)
    return json_response({})


async def unload(request: Request[State]) -> Response:
    """Answer POST /v2/repository/models/{model}/unload: the model is no longer in memory."""
    repository, model_id = await _administered(request)
    await run_in_threadpool(_withdraw, repository, model_id)
    return json_response({})


def routes() -> list[Route]:
    """Return the routes."""
    path, post = "/v2/repository/models/{model}", ["POST"]
    return [
        Route("/v2/repository/index", index, methods=post),
        Route(f"{path}/load", at_every_worker(load), methods=post),
        Route(f"{path}/unload", at_every_worker(unload), methods=post),
    ]


def _withdraw(repository: ModelRepository, model_id: str) -> None:
    """Drop a model in a thread: to free its memory may take a while."""
    repository.withdraw(model_id)
    release_free_memory()


async def _administered(request: Request[State]) -> tuple[ModelRepository, str]:
    """Return the repository and the id of a model that the client may change."""
    check_administrator(request)
    await read_parameters(request)
    repository, model_id = request.state["repository"], request.path_params["model"]
    if model_id not in repository:
        raise unknown_model(repository, model_id)
    return repository, model_id


def _entry(repository: ModelRepository, model_id: str) -> IndexJson:
    status, model = repository.status(model_id), repository.loaded(model_id)
    return _index_entry(model_id, str(model.manifest.version) if model else "", status)


def _candidate_entry(candidate: CandidateSlot) -> IndexJson:
    slot = candidate.slot
    return _index_entry(slot.entry.id, str(candidate.version), slot.status)


def _index_entry(model_id: str, version: str, status: ModelStatus) -> IndexJson:
    state = _STATES.get(status.state, "UNAVAILABLE")
    reason = status.problem if state == "UNAVAILABLE" else ""
    if status.state is ModelState.UNLOADED:
        reason = "the first request loads it"
    return {"name": model_id, "version": version, "state": state, "reason": reason}

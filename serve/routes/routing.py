"""GET and POST /v1/routing, POST /v1/routing/reload: the versions that answer, and their changes.

Their fields: serve/API.md.
"""

import asyncio
from concurrent.futures import Future
from typing import Annotated, TypedDict

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from runtime.artifact.schema import parse
from runtime.errors import ArtifactError, InputError
from serve.errors import ConflictError, json_response
from serve.http.administrator import check_key
from serve.repository.models import ModelRepository, unknown_model
from serve.repository.reload import Reloader
from serve.repository.route_status import RouteJson, describe_route
from serve.repository.scan import without_root
from serve.routes.json_body import read_object
from serve.routing.commands import Change, apply_change
from serve.routing.table import Pin
from serve.state import State


class RoutingJson(TypedDict):
    """The routes of all models."""

    models: dict[str, RouteJson]
    problem: Annotated[str | None, "why routing.json was not read"]


class ChangedRouteJson(RouteJson):
    """The route of a model after a change."""

    model: str


async def show_routing(request: Request[State]) -> Response:
    """Answer GET /v1/routing: the route of every model, and what became of it."""
    return json_response(_routing(request.state["repository"], request.state["reloader"]))


async def reload_routing(request: Request[State]) -> Response:
    """Answer POST /v1/routing/reload: read routing.json and the directory again."""
    _check_key(request)
    repository, reloader = request.state["repository"], request.state["reloader"]
    is_done = await _wait(reloader.reload(), request.state["settings"].timeout_s)
    return json_response(_routing(repository, reloader), status=200 if is_done else 202)


async def change_routing(request: Request[State]) -> Response:
    """Answer POST /v1/routing: change a route; 200 when that is in effect."""
    _check_key(request)
    state = request.state
    content = await read_object(request)
    repository, reloader = state["repository"], state["reloader"]
    change = _change_of(content)
    if change.model not in repository:
        raise unknown_model(repository, change.model)
    try:
        await run_in_threadpool(_write, repository, reloader, change)
    except ArtifactError as error:
        text = without_root(str(error), str(reloader.file.artifacts))
        raise ConflictError(text) from error
    is_done = await _wait(reloader.follow(), state["settings"].timeout_s)
    description = describe_route(repository, change.model)
    candidate = description["candidate"]
    problem = description.get("problem") or (candidate.get("reason") if candidate else None)
    if is_done and problem:
        raise ConflictError(
            f"routing.json is changed, but {problem}; allowed: a version that loads and answers as "
            "it was verified. The command rollback takes the change back"
        )
    changed: ChangedRouteJson = {"model": change.model, **description}
    return json_response(changed, status=200 if is_done else 202)


def _check_key(request: Request[State]) -> None:
    authorization, key = (
        request.headers.get("authorization", ""),
        request.state["settings"].admin_key,
    )
    check_key(authorization, key, what="routes are changed")


def _routing(repository: ModelRepository, reloader: Reloader) -> RoutingJson:
    models = {name: describe_route(repository, name) for name in repository.ids}
    return {"models": models, "problem": reloader.problem or None}


def _write(repository: ModelRepository, reloader: Reloader, change: Change) -> None:
    served = repository.table.defaults[change.model].usable
    pin = Pin(served.manifest.version, served.manifest.digest) if served else None
    apply_change(reloader.file, change, served=pin)


def _change_of(content: object) -> Change:
    try:
        return parse(Change, content, "request")
    except ArtifactError as error:
        raise InputError(str(error)) from error


async def _wait(future: Future[None], timeout_s: float) -> bool:
    """Return whether a reload ended within some seconds."""
    try:
        async with asyncio.timeout(timeout_s):
            await asyncio.shield(asyncio.wrap_future(future))
    except TimeoutError:
        return False
    return True

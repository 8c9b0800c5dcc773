"""GET /health, /v1/models and /v1/models/{model}: the models of the directory."""

from typing import TypedDict

from starlette.requests import Request
from starlette.responses import Response

import serve
from serve.errors import json_response
from serve.repository.models import wait_for_model
from serve.repository.overview import (
    AbsentModelJson,
    RoutedModelJson,
    SummaryJson,
    describe_any,
    describe_loaded,
    summarize,
)
from serve.repository.provenance import provenance_of
from serve.repository.status import StatusJson
from serve.state import State


class HealthJson(TypedDict):
    """The process runs, and has these models."""

    status: str
    version: str
    models: dict[str, SummaryJson | StatusJson]


class ModelsJson(TypedDict):
    """The models of the directory."""

    models: list[RoutedModelJson | AbsentModelJson]


async def health(request: Request[State]) -> Response:
    """Answer GET /health: the process runs, and serves these models."""
    repository = request.state["repository"]
    content: HealthJson = {
        "status": "ok",
        "version": serve.__version__,
        "models": {name: summarize(repository, name) for name in repository.ids},
    }
    return json_response(content)


async def list_models(request: Request[State]) -> Response:
    """Answer GET /v1/models: the description of every model; of one not loaded, its state."""
    repository = request.state["repository"]
    content: ModelsJson = {"models": [describe_any(repository, name) for name in repository.ids]}
    return json_response(content)


async def show_model(request: Request[State]) -> Response:
    """Answer GET /v1/models/{model}: the description of one model."""
    repository = request.state["repository"]
    model = await wait_for_model(repository, request.path_params["model"])
    return json_response(describe_loaded(repository, model), headers=provenance_of(model).headers)

"""The routes of the Open Inference Protocol, version 2 (REST)."""

import time
from dataclasses import replace
from typing import Annotated, NotRequired, TypedDict

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import serve
from runtime import Model
from runtime.artifact.manifest import VERSION, Task
from serve.errors import STATUS_HEADERS, NotFoundError, json_response
from serve.http.body import receive_body
from serve.http.budget import client_of
from serve.http.leaving import leaving_of
from serve.http.log.notes import note_model, note_stages
from serve.protocol_v2 import repository
from serve.protocol_v2.compression import ENCODINGS, accepted, compress, encoding_of, inflate
from serve.protocol_v2.config import model_config
from serve.protocol_v2.encodings import EXTENSION, medium_of
from serve.protocol_v2.infer import infer
from serve.protocol_v2.request import HEADER_LENGTH
from serve.protocol_v2.statistics import merge_statistics, model_statistics, statistics
from serve.protocol_v2.tensors import TensorJson, metadata
from serve.protocol_v2.timeout import body_timeout
from serve.repository.chosen import ChosenModels
from serve.repository.memory.pictures import picture_room
from serve.repository.models import ModelRepository, unknown_model, wait_for_model
from serve.repository.provenance import provenance_of
from serve.repository.readiness import unreadiness
from serve.repository.status import RefusedJson
from serve.routing.choice import HEADER as CHOICE_HEADER
from serve.routing.choice import Choice
from serve.scheduling.call import Call
from serve.scheduling.counting import counting
from serve.scheduling.deadlines import HEADER, request_timeout
from serve.scheduling.job import Turns
from serve.state import State
from serve.text.messages import repr_truncated
from serve.uploads.bounds import bounds_of
from serve.uploads.form import PIXEL_BYTES
from serve.workers.sharing import of_every_worker

EXTENSIONS = (
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "parameters",
    "statistics",
    EXTENSION,
)


MOST_DIGITS = 18  # of a version in a path


class ServerJson(TypedDict):
    """The server and the extensions of the protocol that it has."""

    name: str
    version: str
    extensions: list[str]


class LiveJson(TypedDict):
    """The process runs."""

    live: bool


class ReadyJson(LiveJson):
    """The readiness of the server: every model that must serve can."""

    ready: bool
    reason: NotRequired[str]
    models: NotRequired[Annotated[dict[str, str], "why a model cannot, by its id"]]


class ModelReadyJson(RefusedJson):
    """The readiness of a model."""

    name: str
    ready: bool
    reason: NotRequired[str]


class MetadataJson(TypedDict):
    """The inputs and outputs of a model."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorJson]
    outputs: list[TensorJson]
    parameters: NotRequired[Annotated[dict[str, str], "what it takes as encoded files or texts"]]


async def server_metadata(request: Request[State]) -> Response:
    """Answer GET /v2: name and version of the server, and its extensions."""
    content: ServerJson = {
        "name": "slipway",
        "version": serve.__version__,
        "extensions": list(EXTENSIONS),
    }
    return json_response(content)


async def live(request: Request[State]) -> Response:
    """Answer GET /v2/health/live: the process runs."""
    return json_response({"live": True})


async def ready(request: Request[State]) -> Response:
    """Answer GET /v2/health/ready: 200 if every model that must serve can, else 503 and why."""
    state = request.state
    problems = unreadiness(
        state["repository"], state["settings"].must_serve, ending=state["stop"].reason
    )
    if not problems:
        return json_response({"ready": True, "live": True})
    content: ReadyJson = {"ready": False, "live": True, **problems}
    return json_response(content, status=503, headers=STATUS_HEADERS[503])


async def model_metadata(request: Request[State]) -> Response:
    """Answer GET /v2/models/{model}: the inputs and outputs of a model."""
    model = await _find(request)
    content: MetadataJson = {
        "name": model.spec.id,
        "versions": _served(request.state["repository"], model),
        "platform": "onnx_onnxv1",
        "inputs": [metadata(tensor) for tensor in model.spec.inputs],
        "outputs": [metadata(tensor) for tensor in model.spec.outputs],
    }
    medium = medium_of(model.spec)
    if medium is not None:
        content["parameters"] = medium.parameters
    return json_response(content, headers=provenance_of(model).headers)


async def model_ready(request: Request[State]) -> Response:
    """Answer GET /v2/models/{model}/ready: 200 if the model can answer; which versions cannot."""
    models, model_id = request.state["repository"], request.path_params["model"]
    if model_id not in models:
        raise unknown_model(models, model_id)
    version = request.path_params.get("version", "")
    status, model = models.status(model_id), models.loaded(model_id)
    candidate = models.candidate(model_id)
    if candidate and version == str(candidate.version):
        status, model = candidate.slot.status, candidate.slot.model
    refused = {str(number): reason for number, reason in status.refused.items()}
    if model is not None and version not in refused:
        _check_version(models, model, version)
    problem = status.problem or refused.get(version, "")
    content: ModelReadyJson = {"name": model_id, "ready": not problem}
    refused_json = status.refused_json()
    if "refused" in refused_json:
        content["refused"] = refused_json["refused"]
    if not problem:
        return json_response(content)
    content["reason"] = problem
    return json_response(content, status=503, headers=STATUS_HEADERS[503])


async def config(request: Request[State]) -> Response:
    """Answer GET /v2/models/{model}/config: the configuration that perf_analyzer reads."""
    model = await _find(request)
    body_bytes = request.state["settings"].max_upload_bytes
    return json_response(model_config(model, body_bytes=body_bytes))


async def model_infer(request: Request[State]) -> Response:
    """Answer POST /v2/models/{model}/infer: run the graph on the tensors of the body."""
    model_id, task, version = await _find_task(request)
    note_model(request.scope, model_id, version)
    counters, start_s = request.state["statistics"], time.perf_counter()
    try:
        response, call = await _infer(request, model_id, task)
    except Exception:
        counters.fail(model_id, str(version), time.perf_counter() - start_s)
        raise
    answered = response.headers["x-model-version"]
    note_model(request.scope, model_id, answered)
    counters.succeed(model_id, answered, call.stopwatch, call.runs)
    note_stages(request.scope, call.stopwatch.stages_s)
    response.headers["Server-Timing"] = call.stopwatch.header()
    return response


async def _infer(request: Request[State], model_id: str, task: Task) -> tuple[Response, Call]:
    state, settings = request.state, request.state["settings"]
    header_length = request.headers.get(HEADER_LENGTH)
    encoding = encoding_of(request.headers.get("content-encoding"))
    limit_bytes, scheduler = settings.max_upload_bytes, state["scheduler"]
    version = request.path_params.get("version", "")
    models = ChosenModels(state["repository"], _choice_of(request))
    state["repository"].memory.check()
    with scheduler.admit(
        model_id,
        kind=f"infer {model_id}",
        media=task == "audio-classification",
        timeout_s=request_timeout(request.headers.get(HEADER)),
    ) as place:
        async with receive_body(
            request,
            limit_bytes=limit_bytes,
            timeout_s=settings.timeout_s,
            budget=state["budget"],
            encodings=ENCODINGS,
        ) as body:
            with state["budget"].open_in_worker(client_of(request.scope)) as grow:

                def work(call: Call) -> Turns[Response]:
                    content = body
                    if encoding:
                        content = inflate(body, encoding, limit_bytes=limit_bytes, grow=grow)
                    decoders = state["decoders"].stopped_by(call.cancellation)
                    model = call.borrow(models, model_id)
                    _check_version(state["repository"], model, version)
                    with counting(state["repository"].counts, call) as count:
                        response = yield from infer(
                            model,
                            content,
                            header_length,
                            bounds=bounds_of(settings, decoders, call.stopwatch.decoding),
                            most_media=settings.max_files,
                            room_for=lambda medium: picture_room(
                                state["repository"].memory,
                                [medium],
                                call.cancellation,
                                pixel_bytes=PIXEL_BYTES,
                            ),
                        )
                        count()
                    compress(response, accepted(request.headers.get("accept-encoding")))
                    return response

                # the JSON of a compressed body is not known before a worker has inflated it
                timeout_s = None if encoding else body_timeout(body, header_length)
                return await scheduler.run(
                    place, work, leaving=leaving_of(request), timeout_s=timeout_s
                )


def routes() -> list[Route]:
    """Return the routes of the protocol; a model's have a version in the path, or none."""
    return [
        Route("/v2", server_metadata),
        Route("/v2/", server_metadata),
        Route("/v2/health/live", live),
        Route("/v2/health/ready", ready),
        Route("/v2/models/stats", of_every_worker(statistics, merge_statistics)),
        *_model_routes("/v2/models/{model}"),
        *_model_routes("/v2/models/{model}/versions/{version}"),
        *repository.routes(),
    ]


def _model_routes(path: str) -> list[Route]:
    return [
        Route(path, model_metadata),
        Route(f"{path}/ready", model_ready),
        Route(f"{path}/config", config),
        Route(f"{path}/stats", of_every_worker(model_statistics, merge_statistics)),
        Route(f"{path}/infer", model_infer, methods=["POST"]),
    ]


async def _find(request: Request[State]) -> Model:
    """Return the default version of a model, or the one that the path names."""
    repository, version = request.state["repository"], request.path_params.get("version", "")
    choice = _choice_of(request) if version else None
    model = await wait_for_model(repository, request.path_params["model"], choice)
    _check_version(repository, model, version)
    return model


async def _find_task(request: Request[State]) -> tuple[str, Task, int]:
    """Return id, task and version of a model; not itself, which may be evicted meanwhile."""
    model = await _find(request)
    return model.spec.id, model.spec.task, model.manifest.version


def _choice_of(request: Request[State]) -> Choice:
    """Return the choice of a version whose tensors are those that the metadata tell."""
    version = request.path_params.get("version", "")
    number = int(version) if VERSION.fullmatch(version) and len(version) <= MOST_DIGITS else None
    choice = Choice.of(request.headers.get(CHOICE_HEADER), number)
    return replace(choice, needs_same_tensors=True)


def _check_version(repository: ModelRepository, model: Model, version: str) -> None:
    """Refuse a version that is not the one that was found; an empty text stands for that one."""
    if version and version != str(model.manifest.version):
        raise NotFoundError(
            f"version {repr_truncated(version)} of model {model.spec.id!r} is not served; "
            f"served: {', '.join(_served(repository, model))}"
        )


def _served(repository: ModelRepository, model: Model) -> list[str]:
    """Return the versions of a model that answer, the default one first."""
    candidate = repository.candidate(model.spec.id)
    default = repository.loaded(model.spec.id) or model
    versions = [default.manifest.version]
    if candidate and candidate.slot.model:
        versions.append(candidate.version)
    return [str(version) for version in versions]

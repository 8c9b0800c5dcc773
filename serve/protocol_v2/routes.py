"""The routes of the Open Inference Protocol, version 2 (REST)."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import serve
from runtime import Model
from serve.errors import STATUS_HEADERS, NotFoundError, json_response
from serve.http.body import receive_body
from serve.protocol_v2.infer import HEADER_LENGTH, infer
from serve.protocol_v2.tensors import metadata
from serve.protocol_v2.timeout import body_timeout
from serve.repository.models import unknown_model, wait_for_model
from serve.repository.provenance import provenance_of
from serve.repository.readiness import missing_models
from serve.scheduling.call import Call
from serve.scheduling.deadlines import HEADER, request_timeout
from serve.scheduling.job import one_turn
from serve.state import State
from serve.text.messages import repr_truncated

EXTENSIONS = ("binary_tensor_data",)


async def server_metadata(request: Request[State]) -> Response:
    """Answer GET /v2: name and version of the server, and its extensions."""
    return json_response(
        {"name": "slipway", "version": serve.__version__, "extensions": EXTENSIONS}
    )


async def live(request: Request[State]) -> Response:
    """Answer GET /v2/health/live: the process runs."""
    return json_response({"live": True})


async def ready(request: Request[State]) -> Response:
    """Answer GET /v2/health/ready: 200 if every model that must serve can, else 503 and why."""
    state = request.state
    stop = state["stop"]
    missing = missing_models(state["repository"], state["settings"].must_serve)
    if not missing and not stop.requested:
        return json_response({"ready": True, "live": True})
    content: dict[str, Any] = {"ready": False, "live": True}
    if stop.requested:
        content["reason"] = stop.failure or "the server ends"
    if missing:
        content["models"] = missing
    return json_response(content, status=503, headers=STATUS_HEADERS[503])


async def model_metadata(request: Request[State]) -> Response:
    """Answer GET /v2/models/{model}: the inputs and outputs of a model."""
    model = await _find(request)
    content = {
        "name": model.spec.id,
        "versions": [str(model.manifest.version)],
        "platform": "onnx_onnxv1",
        "inputs": [metadata(tensor) for tensor in model.spec.inputs],
        "outputs": [metadata(tensor) for tensor in model.spec.outputs],
    }
    return json_response(content, headers=provenance_of(model).headers)


async def model_ready(request: Request[State]) -> Response:
    """Answer GET /v2/models/{model}/ready: 200 if the model can answer; which versions cannot."""
    repository, model_id = request.state["repository"], request.path_params["model"]
    if model_id not in repository:
        raise unknown_model(repository, model_id)
    status = repository.status(model_id)
    version = request.path_params.get("version", "")
    refused = {str(number): reason for number, reason in status.refused.items()}
    model = repository.loaded(model_id)
    if model is not None and version not in refused:
        _check_version(model, version)
    problem = status.problem or refused.get(version, "")
    content = {"name": model_id, "ready": not problem, **status.refused_json()}
    if not problem:
        return json_response(content)
    content["reason"] = problem
    return json_response(content, status=503, headers=STATUS_HEADERS[503])


async def model_infer(request: Request[State]) -> Response:
    """Answer POST /v2/models/{model}/infer: run the graph on the tensors of the body."""
    model, state = await _find(request), request.state
    header_length = request.headers.get(HEADER_LENGTH)
    settings = state["settings"]
    limit_bytes, timeout_s = settings.max_upload_bytes, settings.timeout_s
    scheduler, model_id = state["scheduler"], model.spec.id
    client_timeout_s = request_timeout(request.headers.get(HEADER))
    with scheduler.admit(model_id, kind=f"infer {model_id}", timeout_s=client_timeout_s) as place:
        async with receive_body(
            request, limit_bytes=limit_bytes, timeout_s=timeout_s, budget=state["budget"]
        ) as body:

            def work(call: Call) -> Response:
                bound, audio_s = call.bind(model), settings.longest_run_s
                return infer(bound, body, header_length, max_audio_s=audio_s)

            response, call = await scheduler.run(
                place,
                one_turn(work),
                receive=request.receive,
                timeout_s=body_timeout(body, header_length),
            )
    response.headers["Server-Timing"] = call.stopwatch.header()
    return response


def routes() -> list[Route]:
    """Return the routes of the protocol; a model's have a version in the path, or none."""
    return [
        Route("/v2", server_metadata),
        Route("/v2/", server_metadata),
        Route("/v2/health/live", live),
        Route("/v2/health/ready", ready),
        *_model_routes("/v2/models/{model}"),
        *_model_routes("/v2/models/{model}/versions/{version}"),
    ]


def _model_routes(path: str) -> list[Route]:
    return [
        Route(path, model_metadata),
        Route(f"{path}/ready", model_ready),
        Route(f"{path}/infer", model_infer, methods=["POST"]),
    ]


async def _find(request: Request[State]) -> Model:
    model = await wait_for_model(request.state["repository"], request.path_params["model"])
    _check_version(model, request.path_params.get("version", ""))
    return model


def _check_version(model: Model, version: str) -> None:
    """Refuse a version that is not the served one; an empty text stands for that one."""
    served = str(model.manifest.version)
    if version and version != served:
        raise NotFoundError(
            f"version {repr_truncated(version)} of model {model.spec.id!r} is not served; "
            f"served: {served}"
        )

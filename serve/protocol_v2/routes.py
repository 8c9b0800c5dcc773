"""Routes of the Open Inference Protocol, version 2 (REST), for machines."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import serve
from runtime import Model
from serve.catalog.catalog import find
from serve.catalog.facts import facts_of
from serve.errors import NotFoundError, json_response
from serve.http.body import received
from serve.protocol_v2.infer import HEADER_LENGTH, infer
from serve.protocol_v2.tensors import metadata
from serve.state import State
from serve.text.quoting import quoted

EXTENSIONS = ("binary_tensor_data",)


async def server_metadata(request: Request[State]) -> Response:
    """GET /v2: who serves, and which extensions work."""
    return json_response(
        {"name": "slipway", "version": serve.__version__, "extensions": EXTENSIONS}
    )


async def live(request: Request[State]) -> Response:
    """GET /v2/health/live: the process answers."""
    return json_response({"live": True})


async def ready(request: Request[State]) -> Response:
    """GET /v2/health/ready: every model was loaded before the port was opened."""
    return json_response({"ready": True, "live": True})


async def model_metadata(request: Request[State]) -> Response:
    """GET /v2/models/{model}: its tensors."""
    model = _find(request)
    content = {
        "name": model.spec.id,
        "versions": [str(model.manifest.version)],
        "platform": "onnx_onnxv1",
        "inputs": [metadata(tensor) for tensor in model.spec.inputs],
        "outputs": [metadata(tensor) for tensor in model.spec.outputs],
    }
    return json_response(content, headers=facts_of(model).headers)


async def model_ready(request: Request[State]) -> Response:
    """GET /v2/models/{model}/ready: what is known is loaded."""
    return json_response({"name": _find(request).spec.id, "ready": True})


async def model_infer(request: Request[State]) -> Response:
    """POST /v2/models/{model}/infer: run the graph on tensors."""
    model, state = _find(request), request.state
    header_length = request.headers.get(HEADER_LENGTH)
    settings = state["settings"]
    limit_bytes, timeout_s = settings.max_upload_bytes, settings.timeout_s
    async with received(
        request, limit_bytes=limit_bytes, timeout_s=timeout_s, budget=state["budget"]
    ) as body:
        audio_s = settings.longest_run_s
        return await state["pool"].run(
            lambda: infer(model, body, header_length, max_audio_s=audio_s)
        )


def routes() -> list[Route]:
    """All of them; a model's with and without a version in the path."""
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


def _find(request: Request[State]) -> Model:
    model = find(request.state["catalog"], request.path_params["model"])
    served = str(model.manifest.version)
    version = request.path_params.get("version", served)
    if version != served:
        raise NotFoundError(
            f"version {quoted(version)} of model {model.spec.id!r} is not served; served: {served}"
        )
    return model

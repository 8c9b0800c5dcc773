"""The operations of the Open Inference Protocol."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, NotRequired, TypedDict

from runtime.artifact.spec import DATATYPES
from serve.openapi.errors import BODY, QUEUE, ErrorJson
from serve.openapi.headers import PROVENANCE
from serve.openapi.operation import Answer, Key, Media, Operation, Parameter
from serve.openapi.operations.models import LIVE, READY, json_answer
from serve.openapi.operations.parameters import MODEL, SAME_VERSION, VERSION, WAIT
from serve.openapi.schema import AnyOf, Keywords
from serve.protocol_v2.config import ConfigJson
from serve.protocol_v2.repository import IndexJson
from serve.protocol_v2.request import HEADER_LENGTH, MAX_ID_CHARACTERS
from serve.protocol_v2.routes import (
    MetadataJson,
    ModelReadyJson,
    ServerJson,
)
from serve.protocol_v2.statistics import StatisticsAnswerJson

Datatype = Annotated[str, Keywords({"enum": list(DATATYPES.values())})]
Parameters = Annotated[dict[str, Any], Keywords({"additionalProperties": True})]


class InferInputJson(TypedDict):
    """An input: with `data`, or `binary_data_size` among its parameters."""

    name: str
    datatype: Datatype
    shape: list[int]
    data: NotRequired[Annotated[list[Any], "row-major, flat or nested"]]
    parameters: NotRequired[Parameters]


class InferOutputJson(TypedDict):
    """An output that is asked for."""

    name: str
    parameters: NotRequired[Annotated[Parameters, "binary_data, classification"]]


class InferRequestJson(TypedDict):
    """A request to run a model; without `outputs` it gets all."""

    id: NotRequired[Annotated[str, Keywords({"maxLength": MAX_ID_CHARACTERS})]]
    parameters: NotRequired[Annotated[Parameters, "timeout in microseconds; binary_data_output"]]
    inputs: list[InferInputJson]
    outputs: NotRequired[list[InferOutputJson]]


class InferResultJson(TypedDict):
    """An output: with `data`, or `binary_data_size` among its parameters."""

    name: str
    datatype: Datatype
    shape: list[int]
    data: NotRequired[list[Any]]
    parameters: NotRequired[dict[str, Any]]


class InferAnswerJson(TypedDict):
    """The outputs of a run."""

    model_name: str
    model_version: str
    id: NotRequired[str]
    outputs: list[InferResultJson]


class RepositoryParametersJson(TypedDict):
    """The parameters of a request for the repository; none is known."""

    parameters: NotRequired[Parameters]


class IndexRequestJson(RepositoryParametersJson):
    """A request for the index."""

    ready: NotRequired[Annotated[bool, "true: only models that are ready"]]


class NothingJson(TypedDict):
    """An empty object."""


_TAG = "Open Inference Protocol"
_BINARY = Media("application/octet-stream")
_LENGTH = Parameter(
    name=HEADER_LENGTH,
    place="header",
    text="bytes of JSON before the binary tensors; 0: the body is the only input",
    schema={"type": "integer", "minimum": 0},
)
_ACCEPT = Parameter(
    name="Accept-Encoding",
    place="header",
    text="gzip or deflate: an answer of 1 KiB or more is compressed",
    schema={"type": "string"},
)
_SERVER = Operation(
    tag=_TAG,
    summary="Name the server and its extensions.",
    answers={200: json_answer(ServerJson)},
)
_MODEL: Mapping[Key, Operation] = {
    ("GET", ""): Operation(
        tag=_TAG,
        summary="Return the inputs and outputs of a model.",
        answers={200: json_answer(MetadataJson, headers=PROVENANCE)},
        errors=(404,),
    ),
    ("GET", "/ready"): Operation(
        tag=_TAG,
        summary="Check that a model can answer.",
        answers={
            200: json_answer(ModelReadyJson),
            503: json_answer(
                Annotated[Any, AnyOf((ModelReadyJson, ErrorJson))],
                "The model cannot answer.",
                headers=("Retry-After",),
            ),
        },
        errors=(404,),
    ),
    ("GET", "/config"): Operation(
        tag=_TAG,
        summary="Return the configuration of a model in the form of Triton.",
        answers={200: json_answer(ConfigJson)},
        errors=(404,),
    ),
    ("GET", "/stats"): Operation(
        tag=_TAG,
        summary="Return the counters of each served version of a model, or of one.",
        answers={200: json_answer(StatisticsAnswerJson)},
        errors=(404,),
    ),
    ("POST", "/infer"): Operation(
        tag=_TAG,
        summary="Run a model on tensors, or on encoded files and texts.",
        parameters=(_LENGTH, WAIT, _ACCEPT, SAME_VERSION),
        body=(Media(annotation=InferRequestJson), _BINARY),
        answers={
            200: Answer(
                text="The outputs: JSON, or JSON and then the bytes of tensors.",
                media=(Media(annotation=InferAnswerJson), _BINARY),
                headers=(*PROVENANCE, "Server-Timing", HEADER_LENGTH, "Content-Encoding", "Vary"),
            )
        },
        errors=(*QUEUE, *BODY),
    ),
}


def _of_models() -> dict[Key, Operation]:
    """Return the operations of a model, and of its versions."""
    paths = (
        ("/v2/models/{model}", (MODEL,)),
        ("/v2/models/{model}/versions/{version}", (MODEL, VERSION)),
    )
    return {
        (method, path + rest): replace(operation, parameters=(*names, *operation.parameters))
        for path, names in paths
        for (method, rest), operation in _MODEL.items()
    }


def _change(summary: str) -> Operation:
    return Operation(
        tag=_TAG,
        summary=summary,
        parameters=(MODEL,),
        body=(Media(annotation=RepositoryParametersJson),),
        answers={200: json_answer(NothingJson, "The model is in that state.")},
        errors=(403, 404, 415),
        needs_key=True,
    )


OPERATIONS: Mapping[Key, Operation] = {
    ("GET", "/v2"): _SERVER,
    ("GET", "/v2/"): _SERVER,
    ("GET", "/v2/health/live"): LIVE,
    ("GET", "/v2/health/ready"): READY,
    ("GET", "/v2/models/stats"): Operation(
        tag=_TAG,
        summary="Return the counters of all models.",
        answers={200: json_answer(StatisticsAnswerJson)},
    ),
    **_of_models(),
    ("POST", "/v2/repository/index"): Operation(
        tag=_TAG,
        summary="List the models of the directory with their state.",
        body=(Media(annotation=IndexRequestJson),),
        answers={200: json_answer(list[IndexJson])},
        errors=(415,),
    ),
    ("POST", "/v2/repository/models/{model}/load"): _change(
        "Load a model; answer when it is loaded."
    ),
    ("POST", "/v2/repository/models/{model}/unload"): _change("Drop a model from memory."),
}

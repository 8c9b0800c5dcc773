"""The operations about models, jobs, memory and the process."""

from collections.abc import Mapping
from typing import Annotated, Any

from serve.metrics.metrics import CONTENT_TYPE
from serve.openapi.errors import ErrorJson
from serve.openapi.headers import HEADERS, PROVENANCE
from serve.openapi.operation import ANYTHING, Answer, Key, Media, Operation
from serve.openapi.operations.parameters import JOB, MODEL
from serve.openapi.schema import AnyOf
from serve.protocol_v2.routes import LiveJson, ReadyJson
from serve.repository.overview import RoutedModelJson
from serve.routes.experiments import EmptyJson, ExperimentsJson
from serve.routes.jobs import JobJson
from serve.routes.memory import ClearedJson, MemoryJson, WorkersMemoryJson
from serve.routes.models import HealthJson, ModelsJson
from serve.routes.routing import ChangedRouteJson, RoutingJson
from serve.routing.commands import Change
from serve.routing.outcome import Outcome


def json_answer(annotation: Any, text: str = "The answer.", *, headers: Any = ()) -> Answer:
    """Return an answer in JSON."""
    return Answer(text=text, media=(Media(annotation=annotation),), headers=headers)


LIVE = Operation(
    tag="Health", summary="Check that the process runs.", answers={200: json_answer(LiveJson)}
)
READY = Operation(
    tag="Health",
    summary="Check that the models that must serve are loaded.",
    answers={
        200: json_answer(ReadyJson, "Every model that must serve can."),
        503: json_answer(
            Annotated[Any, AnyOf((ReadyJson, ErrorJson))],
            "A model that must serve cannot, memory is used up, or the server ends.",
            headers=("Retry-After",),
        ),
    },
)
_ANY_RESULT = Answer(
    text="The answer of the request, with its headers.",
    media=(Media(ANYTHING),),
    headers=tuple(HEADERS),
)

_ROUTE_CHANGES = "A model still loads: the change is not in effect yet."

OPERATIONS: Mapping[Key, Operation] = {
    ("GET", "/metrics"): Operation(
        tag="Health",
        summary="Return the figures of the server in the text form of Prometheus.",
        answers={200: Answer(text="The figures.", media=(Media(CONTENT_TYPE, str),))},
    ),
    ("GET", "/v1/routing"): Operation(
        tag="Versions",
        summary="Return the route of every model, and what became of it.",
        answers={200: json_answer(RoutingJson)},
    ),
    ("POST", "/v1/routing"): Operation(
        tag="Versions",
        summary="Change the route of a model.",
        body=(Media(annotation=Change),),
        answers={
            200: json_answer(ChangedRouteJson, "The change is in effect."),
            202: json_answer(ChangedRouteJson, _ROUTE_CHANGES),
        },
        errors=(403, 404, 409, 415),
        needs_key=True,
    ),
    ("POST", "/v1/routing/reload"): Operation(
        tag="Versions",
        summary="Read routing.json and the directory of the models again.",
        answers={
            200: json_answer(RoutingJson),
            202: json_answer(RoutingJson, _ROUTE_CHANGES),
        },
        errors=(403,),
        needs_key=True,
    ),
    ("GET", "/v1/ab"): Operation(
        tag="Versions",
        summary="Return the counts of each version since the route of its model changed.",
        answers={200: json_answer(ExperimentsJson)},
    ),
    ("POST", "/v1/outcomes"): Operation(
        tag="Versions",
        summary="Report how many answers of a version were right.",
        body=(Media(annotation=Outcome),),
        answers={200: json_answer(EmptyJson, "They are counted.")},
        errors=(403, 404, 415),
        needs_key=True,
    ),
    ("GET", "/health"): Operation(
        tag="Health",
        summary="Check that the process runs, and list the models of the directory.",
        answers={200: json_answer(HealthJson)},
    ),
    ("GET", "/health/live"): LIVE,
    ("GET", "/health/ready"): READY,
    ("GET", "/v1/models"): Operation(
        tag="Models", summary="Describe every model.", answers={200: json_answer(ModelsJson)}
    ),
    ("GET", "/v1/models/{model}"): Operation(
        tag="Models",
        summary="Describe a model.",
        parameters=(MODEL,),
        answers={200: json_answer(RoutedModelJson, headers=PROVENANCE)},
        errors=(404,),
    ),
    ("GET", "/v1/memory"): Operation(
        tag="Memory",
        summary="List what takes memory, in bytes, and how much there is.",
        answers={200: json_answer(Annotated[Any, AnyOf((MemoryJson, WorkersMemoryJson))])},
    ),
    ("POST", "/v1/memory/clear"): Operation(
        tag="Memory",
        summary="Unload each model that no running request uses.",
        answers={200: json_answer(ClearedJson)},
        errors=(403,),
        needs_key=True,
    ),
    ("GET", "/v1/jobs/{job}"): Operation(
        tag="Jobs",
        summary="Tell how far a job is.",
        parameters=(JOB,),
        answers={200: json_answer(JobJson, headers=("Retry-After", "Cache-Control"))},
        errors=(404, 410),
    ),
    ("DELETE", "/v1/jobs/{job}"): Operation(
        tag="Jobs",
        summary="Stop a job, whether it waits or runs, and forget it.",
        parameters=(JOB,),
        answers={204: Answer(text="The job is forgotten.")},
        errors=(404, 410),
    ),
    ("GET", "/v1/jobs/{job}/result"): Operation(
        tag="Jobs",
        summary="Return the answer of a job.",
        text="It has the status that the request would have got at once.",
        parameters=(JOB,),
        answers={200: _ANY_RESULT},
        errors=(404, 409, 410, 415, 429),
    ),
}

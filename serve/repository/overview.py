"""All models of the directory in a few words, whatever state they are in."""

from typing import Annotated, NotRequired

from runtime import Model
from serve.repository.models import ModelRepository
from serve.repository.provenance import ModelJson, describe
from serve.repository.route_status import RouteJson, describe_route
from serve.repository.status import StatusJson


class SummaryJson(StatusJson):
    """The state of a model and, if it is loaded, what answers."""

    version: NotRequired[int]
    variant: NotRequired[str]
    weights_origin: NotRequired[str]
    weights: NotRequired[Annotated[str, "deprecated: the former name of weights_origin"]]
    provider: NotRequired[str]


class AbsentModelJson(StatusJson):
    """A model that is not loaded, and why."""

    id: str
    routing: RouteJson


class RoutedModelJson(ModelJson):
    """A loaded model, and its route."""

    routing: RouteJson


def summarize(repository: ModelRepository, model_id: str) -> SummaryJson | StatusJson:
    """Return the entry of a model in /health: its state and, if it is loaded, what answers."""
    status = repository.status(model_id).to_json()
    model = repository.loaded(model_id)
    if model is None:
        return status
    provenance = model.provenance
    return {
        "version": provenance.version,
        "variant": provenance.variant,
        "weights_origin": provenance.weights_origin,
        "weights": provenance.weights_origin,  # deprecated: the former name
        "provider": model.session.provider,
        **status,
    }


def describe_any(repository: ModelRepository, model_id: str) -> RoutedModelJson | AbsentModelJson:
    """Return the entry of a model in /v1/models: its description or, if it is not loaded, why."""
    model = repository.loaded(model_id)
    if model is None:
        status = repository.status(model_id).to_json()
        return {"id": model_id, **status, "routing": describe_route(repository, model_id)}
    return describe_loaded(repository, model)


def describe_loaded(repository: ModelRepository, model: Model) -> RoutedModelJson:
    """Return the description of a loaded model, with its route."""
    return {**describe(model), "routing": describe_route(repository, model.spec.id)}

"""All models of the directory in a few words, whatever state they are in."""

from typing import Any

from serve.repository.models import ModelRepository
from serve.repository.provenance import describe


def summarize(repository: ModelRepository, model_id: str) -> dict[str, Any]:
    """Return the entry of a model in /health: its state and, if it is loaded, what answers."""
    content = repository.status(model_id).to_json()
    model = repository.loaded(model_id)
    if model is None:
        return content
    provenance = model.provenance
    return {
        "version": provenance.version,
        "variant": provenance.variant,
        "weights_origin": provenance.weights_origin,
        "weights": provenance.weights_origin,  # deprecated: the former name
        "provider": model.session.provider,
        **content,
    }


def describe_any(repository: ModelRepository, model_id: str) -> dict[str, Any]:
    """Return the entry of a model in /v1/models: its description or, if it is not loaded, why."""
    model = repository.loaded(model_id)
    if model is None:
        return {"id": model_id, **repository.status(model_id).to_json()}
    return describe(model)

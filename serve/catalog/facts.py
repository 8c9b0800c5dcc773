"""What the server says about its models, and the facts that go with each answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from starlette.responses import Response

from runtime import Model
from runtime.artifact.manifest import Manifest
from runtime.artifact.schema import to_json
from runtime.results import Provenance
from serve.errors import json_response

SEEDED_WARNING = "weights are seeded: untrained, the result means nothing"
SYNTHETIC_WARNING = "weights are synthetic: trained on drawings, not a medical device"
SYNTHETIC = "verified on synthetic inputs only"


@dataclass(frozen=True, slots=True)
class Facts(Provenance):
    """Who answered: the same in every answer, as JSON fields or as headers."""

    warnings: tuple[str, ...]  # sentences, ASCII

    @property
    def headers(self) -> dict[str, str]:
        """For answers whose body is not JSON of ours; the weights are in every answer."""
        headers = {
            "X-Model": self.model,
            "X-Model-Version": str(self.version),
            "X-Model-Digest": self.digest,
            "X-Model-Weights": self.weights,
        }
        return {**headers, "X-Warnings": "; ".join(self.warnings)} if self.warnings else headers


def facts_of(model: Model, warnings: Sequence[str] = ()) -> Facts:
    """The facts of an answer, with the warnings that belong to its result."""
    return Facts(**model.provenance.to_json(), warnings=(*_warnings(model.manifest), *warnings))


def facts_of_several(lead: Model, models: Sequence[Model], warnings: Sequence[str] = ()) -> Facts:
    """The facts of an answer that several models made.

    Args:
        lead: whose name, version and digest they are.
        models: all that had a part in it, the lead among them. The weights are those of the least
            trained; each warning says whose it is.
        warnings: that belong to the result.
    """
    if len(models) == 1:
        return facts_of(lead, warnings)
    origins = {model.manifest.weights.origin for model in models}
    worst = next((origin for origin in ("seeded", "synthetic") if origin in origins), "pretrained")
    theirs = [f"{m.spec.id}: {warning}" for m in models for warning in _warnings(m.manifest)]
    return replace(facts_of(lead), weights=worst, warnings=(*theirs, *warnings))


def json_answer(facts: Facts, result: Mapping[str, Any]) -> Response:
    """The envelope of every JSON answer of a model."""
    return json_response({**to_json(facts), "result": result}, headers=facts.headers)


def summarize(model: Model) -> dict[str, Any]:
    """One line of /health."""
    facts = facts_of(model)
    return {"version": facts.version, "variant": facts.variant, "weights": facts.weights}


def describe(model: Model) -> dict[str, Any]:
    """Everything a client may want to know before it asks the model."""
    manifest, spec = model.manifest, model.spec
    suppression = {"suppression": to_json(spec.suppression)} if spec.suppression else {}
    scale = {"similarity": to_json(spec.similarity)} if spec.similarity else {}
    known = model.assets.conditions
    conditions = {"conditions": known.names} if known else {}
    return {
        "id": spec.id,
        "task": spec.task,
        "description": spec.description,
        "version": manifest.version,
        "digest": manifest.digest,
        "variant": model.variant.name,
        "precision": model.variant.precision,
        "weights": {"origin": manifest.weights.origin, "source": manifest.weights.source},
        "labels": spec.labels,
        "inputs": to_json(spec.inputs),
        "outputs": to_json(spec.outputs),
        "preprocess": [_without_nulls(to_json(step)) for step in spec.preprocess],
        **suppression,
        **scale,
        **conditions,
        "licence": spec.licence,
        "calibration": _calibration(manifest),
        "warnings": _warnings(manifest),
    }


def _warnings(manifest: Manifest) -> tuple[str, ...]:
    warnings = {"seeded": (SEEDED_WARNING,), "synthetic": (SYNTHETIC_WARNING,)}
    return warnings.get(manifest.weights.origin, ())


def _calibration(manifest: Manifest) -> str:
    if manifest.calibration == "synthetic":
        return SYNTHETIC
    return f"verified on the media whose digest is {manifest.calibration}"


def _without_nulls(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}

"""The provenance of each answer, and the description of each model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, NotRequired, TypedDict

from starlette.responses import Response

from runtime import Model
from runtime.artifact.manifest import Assumption, Manifest, Origin, Task, TensorSpec
from runtime.artifact.schema import to_json
from runtime.artifact.spec import NmsConfig, SimilarityScale
from runtime.artifact.steps import Step
from runtime.results import SYNTHETIC_TRAINING, Provenance, ProvenanceJson
from serve.errors import json_response

SEEDED_WARNING = "weights are seeded: untrained, the result means nothing"
SYNTHETIC_WARNING = f"weights are synthetic: {SYNTHETIC_TRAINING}"
SYNTHETIC = "verified on synthetic inputs only"


class WeightsJson(TypedDict):
    """The weights of a model."""

    origin: Origin
    source: str


class ModelJson(TypedDict):
    """The description of a model."""

    id: str
    task: Task
    description: str
    version: int
    digest: str
    variant: str
    precision: str
    provider: Annotated[str, "the execution provider of onnxruntime that runs the model"]
    weights_origin: Origin
    weights_source: str
    weights: Annotated[WeightsJson, "deprecated: see weights_origin and weights_source"]
    assumptions: Annotated[list[Assumption], "facts that the weights alone do not tell"]
    labels: list[str]
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]
    preprocess: Annotated[list[Step], "what a client of /v2 does before it sends a tensor"]
    licence: str
    calibration: str
    warnings: list[str]
    suppression: NotRequired[Annotated[NmsConfig, "of a detector"]]
    similarity: NotRequired[Annotated[SimilarityScale, "of a calibrated image embedding"]]
    conditions: NotRequired[Annotated[list[str], "that the model knows by name"]]


class AnswerJson(ProvenanceJson):
    """The fields that each answer has beside its result."""

    warnings: Annotated[list[str], "sentences about the weights, the result, or the file"]


@dataclass(frozen=True, slots=True)
class AnswerProvenance(Provenance):
    """The artifact that computed an answer, and the warnings about its weights and the result."""

    warnings: tuple[str, ...]  # sentences, ASCII

    @property
    def headers(self) -> dict[str, str]:
        """Return the response headers that say the same; an image answer has nothing else."""
        headers = {
            "X-Model": self.model,
            "X-Model-Version": str(self.version),
            "X-Model-Digest": self.digest,
            "X-Model-Weights": self.weights_origin,
        }
        return {**headers, "X-Warnings": "; ".join(self.warnings)} if self.warnings else headers

    def to_json(self) -> AnswerJson:
        """Return the fields by name, and the warnings."""
        return {**Provenance.to_json(self), "warnings": list(self.warnings)}

    @classmethod
    def of(cls, provenance: Provenance, warnings: Sequence[str] = ()) -> "AnswerProvenance":
        """Return a provenance with the warnings about its answer."""
        return cls(
            model=provenance.model,
            version=provenance.version,
            digest=provenance.digest,
            variant=provenance.variant,
            weights_origin=provenance.weights_origin,
            warnings=tuple(warnings),
        )


def provenance_of(model: Model, warnings: Sequence[str] = ()) -> AnswerProvenance:
    """Return the provenance of one model's answer; `warnings` are those about the result."""
    all_warnings = (*_weights_warnings(model.manifest), *warnings)
    return AnswerProvenance.of(model.provenance, all_warnings)


def joint_provenance(
    lead: Model, models: Sequence[Model], warnings: Sequence[str] = ()
) -> AnswerProvenance:
    """Return the provenance of an answer that several models computed.

    Args:
        lead: the model whose name, version and digest the answer has.
        models: all that took part, the lead among them. `weights_origin` is that of the least
            trained; each warning about weights begins with the model's id.
        warnings: those about the result.
    """
    if len(models) == 1:
        return provenance_of(lead, warnings)
    origins = {model.manifest.weights.origin for model in models}
    worst = next((origin for origin in ("seeded", "synthetic") if origin in origins), "pretrained")
    about_weights = [
        f"{model.spec.id}: {warning}"
        for model in models
        for warning in _weights_warnings(model.manifest)
    ]
    return replace(provenance_of(lead), weights_origin=worst, warnings=(*about_weights, *warnings))


def json_answer(provenance: AnswerProvenance, result: Mapping[str, Any]) -> Response:
    """Return the JSON response of a model's answer: provenance, warnings and `result`."""
    return json_response({**provenance.to_json(), "result": result}, headers=provenance.headers)


def describe(model: Model) -> ModelJson:
    """Return the description of a model, as GET /v1/models/{model} answers it."""
    manifest, spec = model.manifest, model.spec
    content: ModelJson = {
        "id": spec.id,
        "task": spec.task,
        "description": spec.description,
        "version": manifest.version,
        "digest": manifest.digest,
        "variant": model.variant.name,
        "precision": model.variant.precision,
        "provider": model.session.provider,
        "weights_origin": manifest.weights.origin,
        "weights_source": manifest.weights.source,
        # deprecated: the former name
        "weights": {"origin": manifest.weights.origin, "source": manifest.weights.source},
        "assumptions": to_json(manifest.assumptions),
        "labels": list(spec.labels),
        "inputs": to_json(spec.inputs),
        "outputs": to_json(spec.outputs),
        "preprocess": [_without_nulls(to_json(step)) for step in spec.preprocess],
        "licence": spec.licence,
        "calibration": _calibration(manifest),
        "warnings": [*_weights_warnings(manifest), *model.notes],
    }
    if spec.suppression:
        content["suppression"] = spec.suppression
    if spec.similarity:
        content["similarity"] = spec.similarity
    if model.assets.conditions:
        content["conditions"] = list(model.assets.conditions.names)
    return content


def _weights_warnings(manifest: Manifest) -> tuple[str, ...]:
    warnings = {"seeded": (SEEDED_WARNING,), "synthetic": (SYNTHETIC_WARNING,)}
    return warnings.get(manifest.weights.origin, ())


def _calibration(manifest: Manifest) -> str:
    if manifest.calibration == "synthetic":
        return SYNTHETIC
    return f"verified on the media whose digest is {manifest.calibration}"


def _without_nulls(fields: Mapping[str, Any]) -> Any:
    return {name: value for name, value in fields.items() if value is not None}

"""What the report says of each model, read from the manifests. The JSON is these dataclasses."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from convert.commands.report import history
from runtime.artifact.manifest import (
    MODEL_ID,
    Manifest,
    SimilarityScale,
    Variant,
    Weights,
    read_manifest,
    versions,
)
from runtime.errors import ArtifactError

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Measured:
    """One variant: its size, and its time for one input at one thread."""

    name: str
    precision: str
    size_bytes: int
    milliseconds: float
    cpu_features: tuple[str, ...] = ()  # of which a CPU has to have one; empty: any CPU
    fidelity: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The newest version of one model."""

    id: str
    version: int
    digest: str
    task: str
    description: str
    licence: str
    labels: tuple[str, ...]
    weights: Weights
    calibration: str
    parity: float
    precision: str
    reason: str
    fidelity: Mapping[str, float]
    judged: bool
    inputs: int
    inputs_source: str
    before: Measured
    after: Measured
    variants: tuple[Measured, ...]  # all of them, best first
    seven_bits: str  # what became of the variant for CPUs without VNNI; "" where nothing says
    similarity: SimilarityScale | None
    pairs: Mapping[str, Any]  # by kind, what the scale makes of the pairs; empty without a scale
    seconds: float | None
    converted_at: str | None
    float_nodes: tuple[str, ...]
    float_reason: str
    candidates: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """A model that the last run was asked for and did not package."""

    id: str
    reason: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A model's directory whose newest version says nothing that can be read."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a report says."""

    schema_version: int
    models: tuple[ModelFacts, ...]
    refused: tuple[Refused, ...]
    unreadable: tuple[Unreadable, ...]


def gather(out: Path, refused: Iterable[Refused] = ()) -> Facts:
    """Look at every model of an artifacts directory.

    Args:
        out: the directory; what is no model in it is ignored.
        refused: of the last run.

    Raises:
        OSError: the directory cannot be read.
    """
    models, unreadable = [], []
    for directory in sorted(path for path in out.iterdir() if MODEL_ID.fullmatch(path.name)):
        complete = versions(directory)
        if not complete:
            continue
        try:
            models.append(_facts(out, read_manifest(complete[-1])))
        except ArtifactError as error:
            unreadable.append(Unreadable(directory.name, str(error)))
        except (KeyError, TypeError, ValueError) as error:  # what was measured is free-form
            reason = f"{complete[-1]}: the manifest lacks a measurement ({error!r})"
            unreadable.append(Unreadable(directory.name, reason))
    return Facts(SCHEMA_VERSION, tuple(models), tuple(refused), tuple(unreadable))


def _facts(out: Path, manifest: Manifest) -> ModelFacts:
    served, made = manifest.variants[0], history.recall(out, manifest)
    measured = tuple(map(_measured, manifest.variants))
    verification = served.verification
    return ModelFacts(
        id=manifest.id,
        version=manifest.version,
        digest=manifest.digest,
        task=manifest.spec.task,
        description=manifest.spec.description,
        licence=manifest.spec.licence,
        labels=manifest.spec.labels,
        weights=manifest.weights,
        calibration=manifest.calibration,
        parity=max(float(value) for value in manifest.parity.values()),
        precision=served.precision,
        reason=str(manifest.choice["reason"]),
        fidelity=measured[0].fidelity,
        judged=bool(verification["judged"]),
        inputs=int(verification["inputs"]),
        inputs_source=str(verification["inputs_source"]),
        before=measured[-1],  # float, packaged beside any other
        after=measured[0],
        variants=measured,
        seven_bits=str(manifest.choice.get("seven_bits", "")),
        similarity=manifest.spec.similarity,
        pairs=verification.get("similarity", {}),
        seconds=made.seconds if made else None,
        converted_at=made.at if made else None,
        float_nodes=tuple(map(str, manifest.choice.get("float_nodes", ()))),
        float_reason=_float_reason(manifest),
        candidates=manifest.candidates,
    )


def _float_reason(manifest: Manifest) -> str:
    """What the same setting with nothing in float falls short of, or how far off it is.

    "" where that was not tried.
    """
    alike = ("ranges", "corrected", "equalised")
    for tried in manifest.candidates:
        name = str(tried["name"]).startswith(str(manifest.choice.get("operators")))
        same = all(tried.get(key) == manifest.choice.get(key) for key in alike)
        if name and same and tried.get("float_nodes") == 0:
            objections = ", ".join(map(str, tried["objections"]))
            return objections or f"it keeps its tolerance, by {_distance(tried)}"
    return ""


def _distance(tried: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in tried["fidelity"].items())


def _measured(variant: Variant) -> Measured:
    return Measured(
        variant.name,
        variant.precision,
        sum(file.size_bytes for file in variant.files),
        float(variant.verification["milliseconds"]),
        variant.cpu_features,
        {name: float(value) for name, value in variant.verification["fidelity"].items()},
    )

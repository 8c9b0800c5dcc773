"""Read the facts of the report from the manifests. report.json holds these dataclasses."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from convert.commands.report import history
from runtime.artifact.manifest import (
    MODEL_ID,
    Assumption,
    Manifest,
    SimilarityScale,
    Variant,
    Weights,
    read_manifest,
    versions,
)
from runtime.errors import ArtifactError

SCHEMA_VERSION = 1
# fields of a candidate
REFINEMENTS = ("ranges", "corrected", "equalised", "smoothed", "shared", "learned")


@dataclass(frozen=True, slots=True)
class VariantFacts:
    """One variant: its size, and its latency for one input at one thread."""

    name: str
    precision: str
    size_bytes: int
    milliseconds: float
    cpu_features: tuple[str, ...] = ()  # a CPU needs one of them; empty: any CPU
    fidelity: Mapping[str, float] = field(default_factory=dict)
    batch_milliseconds: Mapping[str, float] = field(default_factory=dict)  # of a run, by its rows


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
    assumptions: tuple[Assumption, ...]
    calibration: str
    parity: float
    precision: str
    reason: str
    fidelity: Mapping[str, float]
    judged: bool  # False: the weights are untrained, fidelity is reported only
    inputs: int
    inputs_source: str
    verdict: str  # on INT8, see `convert.gate.verdict.Outcome`; "" if not recorded
    advice: str  # what would settle an undecided verdict
    sureness: str  # by which bounds INT8 was judged, and how sure; "" if not recorded
    division: str  # how many media guided the search and how many judged; "" if not recorded
    nearest_bound: Mapping[str, Any]  # of the graph judged: "metric", "value" and the bound
    yardstick: Mapping[str, Mapping[str, float]]  # float against itself, by what was changed
    before: VariantFacts
    after: VariantFacts
    variants: tuple[VariantFacts, ...]  # those for CPUs, best first
    seven_bits: str  # the outcome of the variant for CPUs without VNNI; "" if not recorded
    float16: str  # the outcome of the variant for GPUs; "" if nobody asked for it
    similarity: SimilarityScale | None
    pairs: Mapping[str, Any]  # scores of the labelled pairs by kind; empty without a scale
    seconds: float | None
    converted_at: str | None
    float_nodes: tuple[str, ...]
    float_reason: str
    candidates: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """A model that the last run did not package."""

    id: str
    reason: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A model whose newest version cannot be read."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Facts:
    """The content of a report."""

    schema_version: int
    models: tuple[ModelFacts, ...]
    refused: tuple[Refused, ...]
    unreadable: tuple[Unreadable, ...]


def gather(out: Path, refused: Iterable[Refused] = ()) -> Facts:
    """Read the newest version of every model of an artifacts directory.

    Args:
        out: the directory; entries that are no models are ignored.
        refused: models that the last run refused.

    Raises:
        OSError: the directory cannot be read.
    """
    models, unreadable = [], []
    for directory in sorted(path for path in out.iterdir() if MODEL_ID.fullmatch(path.name)):
        complete = versions(directory)
        if not complete:
            continue
        try:
            models.append(_model_facts(out, read_manifest(complete[-1])))
        except ArtifactError as error:
            unreadable.append(Unreadable(directory.name, str(error)))
        except (KeyError, TypeError, ValueError) as error:  # no schema for measurements
            reason = f"{complete[-1]}: the manifest lacks a measurement ({error!r})"
            unreadable.append(Unreadable(directory.name, reason))
    return Facts(SCHEMA_VERSION, tuple(models), tuple(refused), tuple(unreadable))


def _model_facts(out: Path, manifest: Manifest) -> ModelFacts:
    served, conversion = manifest.variants[0], history.read_conversion(out, manifest)
    on_cpus = [variant for variant in manifest.variants if not variant.providers]
    variants = tuple(map(_variant_facts, on_cpus))
    verification = served.verification
    judged = {**manifest.choice, **verification}  # of float only the choice tells of INT8
    return ModelFacts(
        id=manifest.id,
        version=manifest.version,
        digest=manifest.digest,
        task=manifest.spec.task,
        description=manifest.spec.description,
        licence=manifest.spec.licence,
        labels=manifest.spec.labels,
        weights=manifest.weights,
        assumptions=manifest.assumptions,
        calibration=manifest.calibration,
        parity=max(float(value) for value in manifest.parity.values()),
        precision=served.precision,
        reason=str(manifest.choice["reason"]),
        fidelity=variants[0].fidelity,
        judged=bool(verification["judged"]),
        inputs=int(verification["inputs"]),
        inputs_source=str(verification["inputs_source"]),
        verdict=str(manifest.choice.get("verdict", "")),
        advice=str(manifest.choice.get("advice", "")),
        sureness=str(judged.get("sureness", "")),
        division=str(verification.get("division", "")),
        nearest_bound=judged.get("nearest_bound", {}),
        yardstick={
            change: {name: float(value) for name, value in metrics.items()}
            for change, metrics in judged.get("yardstick", {}).items()
        },
        before=variants[-1],  # float, which every version holds
        after=variants[0],
        variants=variants,
        seven_bits=str(manifest.choice.get("seven_bits", "")),
        float16=str(manifest.choice.get("float16", "")),
        similarity=manifest.spec.similarity,
        pairs=verification.get("similarity", {}),
        seconds=conversion.seconds if conversion else None,
        converted_at=conversion.at if conversion else None,
        float_nodes=tuple(map(str, manifest.choice.get("float_nodes", ()))),
        float_reason=_float_reason(manifest),
        candidates=manifest.candidates,
    )


def _float_reason(manifest: Manifest) -> str:
    """Return why layers stay in float, from the same setting with no layer in float.

    Its objections or, if it has none, its fidelity; "" if it was not tried.
    """
    for candidate in manifest.candidates:
        if not _is_choice_without_float(candidate, manifest.choice):
            continue
        objections = ", ".join(map(str, candidate["objections"]))
        return objections or f"it keeps its tolerance, by {_format_fidelity(candidate)}"
    return ""


def _is_choice_without_float(candidate: Mapping[str, Any], choice: Mapping[str, Any]) -> bool:
    """Check whether a candidate is the chosen setting with no layer in float."""
    return (
        str(candidate["name"]).startswith(str(choice.get("operators")))
        and all(candidate.get(name) == choice.get(name) for name in REFINEMENTS)
        and candidate.get("float_nodes") == 0
    )


def _format_fidelity(candidate: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in candidate["fidelity"].items())


def _variant_facts(variant: Variant) -> VariantFacts:
    return VariantFacts(
        variant.name,
        variant.precision,
        sum(file.size_bytes for file in variant.files),
        float(variant.verification["milliseconds"]),
        variant.cpu_features,
        {name: float(value) for name, value in variant.verification["fidelity"].items()},
        {str(rows): ms for rows, ms in variant.batch_times_ms.items()},
    )

"""The cost of a model, from the measurements in its manifest or of a running server."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from runtime.artifact.manifest import Manifest, Task, Variant, newest_versions, read_manifest
from runtime.errors import ArtifactError
from serve.repository.memory.budget import MIB

# kept by a loaded model: of eight models in November 2026 each kept less than this of its files
_KEPT_SHARE, _KEPT_BYTES = 1.1, 8 * MIB
_UNKNOWN_RUN_BYTES = 96 * MIB  # where the manifest has no peak; serve.repository.memory.ledger


@dataclass(frozen=True, slots=True)
class ModelCost:
    """The cost of one model."""

    id: str
    task: Task
    run_ms: float  # of one row, at one thread
    batch_gain: float  # rows a second at the best batch, over those of single rows
    kept_bytes: int
    run_bytes: int  # more during a run
    memory_source: str  # "manifest", "assumed" or "measured"


def read_costs(
    artifacts: Path, models: tuple[str, ...], measured: Mapping[str, Any] | None = None
) -> list[ModelCost]:
    """Return the costs of the newest versions of models.

    Args:
        artifacts: directory of the models.
        models: their ids.
        measured: the answer of GET /v1/memory of a server that has loaded them; its memory counts
            in place of the manifest's.

    Raises:
        ArtifactError: a model is not there, or its manifest tells no time.
    """
    directories = newest_versions(artifacts)
    absent = [name for name in models if name not in directories]
    if absent:
        there = ", ".join(directories)
        raise ArtifactError(f"{artifacts} has no {', '.join(absent)}; it has {there}")
    costs = [cost_of(read_manifest(directories[name])) for name in models]
    return [_with_memory(cost, measured) for cost in costs] if measured is not None else costs


def cost_of(manifest: Manifest) -> ModelCost:
    """Return the cost of the best variant of a version.

    Raises:
        ArtifactError: the manifest tells no time of it.
    """
    variant = next((one for one in manifest.variants if not one.providers), manifest.variants[0])
    times_ms = variant.batch_times_ms
    run_ms = times_ms.get(1) or variant.verification.get("milliseconds")
    if not isinstance(run_ms, int | float) or run_ms <= 0:
        raise ArtifactError(
            f"{manifest.id}/{manifest.version} tells no time of a run; convert it again: "
            f"python -m convert run --model {manifest.id}"
        )
    per_row_ms = min((ms / rows for rows, ms in times_ms.items()), default=run_ms)
    size_bytes = _size_bytes(variant, manifest)
    peak_bytes = _peak_bytes(manifest, variant)
    return ModelCost(
        id=manifest.id,
        task=manifest.spec.task,
        run_ms=float(run_ms),
        batch_gain=run_ms / per_row_ms,
        kept_bytes=int(_KEPT_SHARE * size_bytes) + _KEPT_BYTES,
        run_bytes=_UNKNOWN_RUN_BYTES if peak_bytes is None else max(0, peak_bytes - size_bytes),
        memory_source="assumed" if peak_bytes is None else "manifest",
    )


def _size_bytes(variant: Variant, manifest: Manifest) -> int:
    assets = sum(file.size_bytes for file in manifest.assets.values())
    return sum(file.size_bytes for file in variant.files) + assets


def _peak_bytes(manifest: Manifest, variant: Variant) -> int | None:
    """Return the most that the load and first run of a variant took; None if not measured."""
    name = manifest.choice.get("operators") if variant.precision == "int8" else "float"
    entries = [one for one in manifest.candidates if one.get("name") == name]
    peaks = [int(one["peak_bytes"]) for one in entries if one.get("peak_bytes")]
    return max(peaks, default=None)


def _with_memory(cost: ModelCost, measured: Mapping[str, Any]) -> ModelCost:
    """Return the cost with the memory that a server measured, if it has loaded the model."""
    entry = measured.get("models", {}).get(cost.id, {}).get("cost")
    if not entry:
        return cost
    return replace(
        cost,
        kept_bytes=int(entry["kept_bytes"]),
        run_bytes=int(entry["run_peak_bytes"]),
        memory_source="measured",
    )

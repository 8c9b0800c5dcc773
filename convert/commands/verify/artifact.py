"""The order in which an artifact is looked at: what is not intact is not run."""

from collections.abc import Iterator
from pathlib import Path

import onnxruntime

from convert.commands.verify import measures
from convert.commands.verify.check import Check, Report, judged
from convert.commands.verify.inputs import drawn, given
from convert.samples.sets import Samples
from runtime import load
from runtime.artifact.golden import Golden, read_golden
from runtime.artifact.manifest import Manifest, Variant, read_manifest, verify_file
from runtime.engine.resources import cpu_features
from runtime.errors import ArtifactError, one_line
from runtime.model import Model, choose_variant


def recheck(directory: Path, media: Path | None = None) -> Report:
    """Verify one version again.

    Args:
        directory: of the version.
        media: files like those it will be asked about; None: drawings.

    Raises:
        CalibrationError: `media` holds none that can be read.
    """
    return Report(str(directory), tuple(_checks(directory, media)))


def _checks(directory: Path, media: Path | None) -> Iterator[Check]:
    try:
        manifest = read_manifest(directory)
        for file in manifest.files:
            verify_file(directory, file)
        yield judged("files", "", _sizes(manifest))
        chosen = choose_variant(manifest, cpu_features())
        models = {v.name: load(directory, variant=v.name) for v in manifest.variants}
        golden = read_golden(directory, manifest)
    except ArtifactError as error:
        yield Check("files", "failed", str(error))
        return
    yield judged("spec", "", "the same in the manifest and in each graph")
    yield _onnxruntime(manifest)
    yield Check("variant", "told", why(manifest, chosen, cpu_features()), chosen.name)
    model = models[chosen.name]
    samples = given(model, media) if media is not None else drawn(model)
    yield from _measured(directory, models, chosen, golden, samples, drawings=media is None)


def _measured(
    directory: Path,
    models: dict[str, Model],
    chosen: Variant,
    golden: Golden,
    samples: Samples,
    *,
    drawings: bool,
) -> Iterator[Check]:
    served = models[chosen.name]
    yield from _finished("golden media", served, measures.golden_media(golden, served))
    plain = next((m for m in models.values() if m.variant.precision == "float"), None)
    for name, model in models.items():
        if not model.variant.runs_on(cpu_features()):
            yield Check("not measured", "told", "for other CPUs than this one", name)
            continue
        checks = {
            "golden outputs": measures.golden_outputs(directory, golden, model),
            "integer operators": measures.integers(directory, model),
            "batches": measures.batches(directory, model, samples),
        }
        if plain is not None and model is not plain:
            found = measures.fidelity(directory, model, plain, samples, drawings=drawings)
            checks["fidelity"] = found
        for check, found in checks.items():
            yield from _finished(check, model, found)
    if plain is None:
        yield Check("fidelity, speed", "told", "there is no float variant to compare with")
        return
    found = measures.speed(directory, served, plain, samples[0])
    yield from _finished("speed", served, found)


def _finished(name: str, model: Model, checks: Iterator[Check]) -> Iterator[Check]:
    """The checks, the last of them failed where one could not be finished."""
    try:
        yield from checks
    except Exception as error:  # onnxruntime's exceptions share no base class of their own
        yield Check(
            name, "failed", f"{type(error).__name__}: {one_line(error)}", model.variant.name
        )


def why(manifest: Manifest, chosen: Variant, features: frozenset[str]) -> str:
    """Why this CPU gets that variant: what it has of it, and lacks of those before it."""
    passed = manifest.variants[: manifest.variants.index(chosen)]
    lacking = [f"{v.name} needs one of {', '.join(v.cpu_features)}" for v in passed]
    having = sorted(features.intersection(chosen.cpu_features))
    has = f"this CPU has {', '.join(having)}" if having else "it runs on any CPU"
    return "; ".join([has, *lacking])


def _sizes(manifest: Manifest) -> str:
    megabytes = sum(file.size_bytes for file in manifest.files) / 1e6
    return f"{len(manifest.files)} with the hashes of the manifest, {megabytes:.1f} MB"


def _onnxruntime(manifest: Manifest) -> Check:
    made, here = manifest.tools.get("onnxruntime", "unknown"), onnxruntime.__version__
    least = manifest.onnxruntime_minimum
    problem = f"{here} < {least}" if _numbers(here) < _numbers(least) else ""
    return judged("onnxruntime", problem, f"{here}; made with {made}; at least {least}")


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")[:3] if part.isdigit()]

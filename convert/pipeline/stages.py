"""One model through its stages: load, export, quantize, verify, package."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import onnx

from convert import recipe
from convert.checkpoint import tensors_digest
from convert.checkpoint.labels import read_labels_file
from convert.errors import CheckpointError, LabelsError
from convert.export.graph.surgery import canonicalize
from convert.export.numerics import attach
from convert.export.numerics.fragment import Shape
from convert.files import sha256
from convert.metrics import Outputs
from convert.package import artifact as package
from convert.package.measure_variant import VariantName, measure_variant, timed
from convert.package.variants import write_variants
from convert.pipeline.cache import content_digest, fingerprint, recall, remember, tool_versions
from convert.pipeline.similarity import calibrate as similarity
from convert.pipeline.similarity.labelled_pairs import Pairs, read_pairs
from convert.quantize.choose import Choice, Wanted, choose
from convert.quantize.search.candidates import Effort
from convert.recipe import Loaded, RecipeFile, Tolerance, output_shapes
from convert.samples import golden
from convert.samples import sets as calibration
from convert.samples.sets import Media, Samples, joined
from convert.verify.parity import check_parity
from convert.weights import resolve as weights
from convert.weights.resolve import Found, WeightsMode
from runtime.artifact.manifest import SCHEMA_VERSION, Manifest, Spec, Variant, Weights

ONNXRUNTIME_MINIMUM = "1.18.0"  # the first to read convert.export.graph.surgery.IR_VERSION

Status = Literal["packaged", "unchanged", "refused"]
UNCHANGED: Status = "unchanged"
LABELLED = ("probabilities", "scores")  # outputs with a value per class
Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Job:
    """One conversion, as asked for."""

    recipe_path: Path
    out: Path
    weights: WeightsMode = "pretrained"
    checkpoint: Path | None = None
    calibration: Path | None = None
    precision: Wanted = "auto"
    search: Effort = "default"
    labels: Path | None = None
    found: Found | None = None  # weights that were fetched for it; None: looked for here
    pairs: Path | None = None  # judged, for a scale of similarity


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a job: a row of the closing table."""

    model: str
    status: Status
    message: str  # the artifact's directory, or why it was refused
    seconds: float
    manifest: Manifest | None = None


@dataclass(frozen=True, slots=True)
class Exported:
    """The float graph, proved equal to the reference."""

    path: Path
    spec: Spec
    reference: Outputs  # of the held-out inputs, from the framework
    parity: Mapping[str, float]


def convert(job: Job, report: Report) -> Outcome:
    """Run every stage.

    Args:
        job: what to convert.
        report: called with each stage's name as it begins.

    Raises:
        ConvertError: a stage refused; nothing appeared under `job.out`.
        OSError: disk full or not writable; as above.
    """
    start = time.perf_counter()
    recipe_file = recipe.read(job.recipe_path)
    found = _found(job, recipe_file)
    pairs = read_pairs(job.pairs) if job.pairs else None
    key = _key(job, recipe_file, found, pairs)
    with package.locked(job.out, recipe_file.id) as scratch:
        known = recall(job.out, recipe_file.id, key)
        if known is not None:
            manifest, status = known, UNCHANGED
        else:
            manifest, status = _run_stages(job, recipe_file, found, pairs, scratch, report)
            remember(job.out, manifest, key)
    directory = job.out / manifest.id / str(manifest.version)
    return Outcome(manifest.id, status, str(directory), time.perf_counter() - start, manifest)


def unchanged(job: Job) -> Outcome | None:
    """What the same conversion made before, where it is whole; None: it has to run.

    Raises:
        ConvertError: what it would read is refused.
    """
    start = time.perf_counter()
    recipe_file = recipe.read(job.recipe_path)
    pairs = read_pairs(job.pairs) if job.pairs else None
    key = _key(job, recipe_file, _found(job, recipe_file), pairs)
    known = recall(job.out, recipe_file.id, key)
    if known is None:
        return None
    directory = job.out / known.id / str(known.version)
    return Outcome(known.id, UNCHANGED, str(directory), time.perf_counter() - start, known)


def _found(job: Job, recipe_file: RecipeFile) -> Found:
    return job.found or weights.find(recipe_file, job.weights, job.checkpoint, job.labels)


def _key(job: Job, recipe_file: RecipeFile, found: Found, pairs: Pairs | None) -> str:
    """Of everything that the conversion would read."""
    given = job.calibration
    source = calibration.directory_digest(given, recipe_file.recipe) if given else "synthetic"
    kept = pairs.digest if pairs else None
    return fingerprint(recipe_file, found, source, job.precision, job.search, pairs=kept)


def _run_stages(
    job: Job,
    recipe_file: RecipeFile,
    found: weights.Found,
    pairs: Pairs | None,
    scratch: Path,
    report: Report,
) -> tuple[Manifest, Status]:
    report("load")
    loaded = _load(recipe_file, found)
    pictures = similarity.read_judged(pairs, recipe_file.recipe, loaded)
    media = _media(job, recipe_file, loaded)
    report("export")
    exported = _export(recipe_file, loaded, media, scratch)
    report("quantize")
    judged = found.origin != "seeded"
    choice = choose(
        exported.path,
        media,
        tolerance=recipe_file.recipe.tolerance if judged else Tolerance(),
        suppression=loaded.suppression,
        precision=recipe_file.recipe.precision if job.precision == "auto" else job.precision,
        effort=job.search,
        seconds=recipe_file.recipe.search_seconds,
    )
    scale = similarity.scale_of(pictures, choice.int8 or exported.path)
    exported = replace(exported, spec=replace(exported.spec, similarity=scale))
    report("verify")
    manifest = _verify(job, recipe_file, found, loaded, media, exported, choice, scratch)
    manifest = similarity.verified(manifest, pictures, scratch, report)
    before = package.existing(job.out, manifest.id, manifest.digest)
    if before is not None:
        return before, UNCHANGED
    report("package")
    package.publish(scratch, job.out, manifest)
    return manifest, "packaged"


def _load(recipe_file: RecipeFile, found: weights.Found) -> Loaded:
    if found.path is not None:
        loaded = recipe_file.recipe.load(found.path)
    else:
        assert recipe_file.recipe.seed is not None
        loaded = recipe_file.recipe.seed()
    for name, array in loaded.network.weights().items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise CheckpointError(f"{found.path}: {name} holds NaN or infinity")
    _check_output(loaded, found.path or recipe_file.path)
    if found.labels is not None:
        loaded = replace(loaded, labels=read_labels_file(found.labels))
    _check_labels(loaded, found, recipe_file)
    return loaded


def _check_output(loaded: Loaded, where: Path) -> None:
    given, taken = output_shapes(loaded), loaded.head.takes(loaded.input.tensors)
    if not _fit(given, taken):
        found, needed = (", ".join(map(_written, shapes)) for shapes in (given, taken))
        raise CheckpointError(f"{where}: the network gives {found}; needed: {needed}")


def _check_labels(loaded: Loaded, found: weights.Found, recipe_file: RecipeFile) -> None:
    outputs = loaded.head.tensors(output_shapes(loaded), loaded.input.tensors)
    counts = {output.shape[-1] for output in outputs if output.name in LABELLED}
    where = found.labels or found.path or recipe_file.path
    names = ", ".join(loaded.labels[:8])
    for count in counts - {len(loaded.labels)}:
        known = f"{len(loaded.labels)} labels ({names})" if names else "no labels"
        raise LabelsError(
            f"{where}: {known} for {count} classes; name them in a file, one a line: --labels FILE"
        )


def _fit(given: Sequence[tuple[int, ...]], taken: Sequence[Shape]) -> bool:
    return len(given) == len(taken) and all(
        len(shape) == len(wanted)
        and all(
            isinstance(allowed, str) or size == allowed
            for size, allowed in zip(shape, wanted, strict=True)
        )
        for shape, wanted in zip(given, taken, strict=True)
    )


def _written(shape: Shape) -> str:
    return f"({', '.join(map(str, shape))})"


def _media(job: Job, recipe_file: RecipeFile, loaded: Loaded) -> Media:
    asked = recipe_file.recipe
    if job.calibration is not None:
        given = calibration.from_directory(job.calibration, asked, loaded)
        return calibration.complete(given, asked, loaded)
    return calibration.synthetic(asked, loaded)


def _reference(loaded: Loaded, samples: Samples) -> Outputs:
    """The framework's answers, numerics by their plain formulas."""
    answers = []
    for feeds in samples:
        given = [feeds[tensor.name] for tensor in loaded.input.tensors]
        answers.append(loaded.head.apply(*loaded.network.forward(*loaded.input.apply(*given))))
    return joined(answers)


def _export(recipe_file: RecipeFile, loaded: Loaded, media: Media, scratch: Path) -> Exported:
    reference = _reference(loaded, media.held_out)
    tensors = loaded.head.tensors(output_shapes(loaded), loaded.input.tensors)
    core = canonicalize(loaded.network.export(), prefix="net/")
    path = scratch / "exported.onnx"
    onnx.save(attach(core, given=loaded.input, head=loaded.head, outputs=tensors), path)
    spec = Spec(
        schema_version=SCHEMA_VERSION,
        id=recipe_file.id,
        task=loaded.task or recipe_file.recipe.task,
        description=recipe_file.recipe.description,
        labels=loaded.labels,
        inputs=loaded.input.tensors,
        outputs=tensors,
        preprocess=loaded.preprocess,
        licence=loaded.licence or recipe_file.recipe.licence,
        suppression=loaded.suppression,
    )
    return Exported(path, spec, reference, check_parity(reference, path, media.held_out))


def _verify(
    job: Job,
    recipe_file: RecipeFile,
    found: weights.Found,
    loaded: Loaded,
    media: Media,
    exported: Exported,
    choice: Choice,
    scratch: Path,
) -> Manifest:
    spec = exported.spec
    kept = scratch / golden.FILE
    known = golden.write_golden(
        kept, recipe_file.recipe, loaded, lambda samples: _reference(loaded, samples)
    )
    judged = None if found.origin == "seeded" else recipe_file.recipe.tolerance

    def written(name: VariantName, source: Path) -> Variant:
        path = scratch / f"{name}.onnx"
        package.write_variant(source, path, spec)
        kind = recipe_file.recipe.media
        return measure_variant(name, path, spec, media, exported.reference, known, judged, kind)

    variants, seven_bits = write_variants(choice, exported.path, written)
    variants = timed(variants, scratch, media.held_out[0])
    assets = package.write_assets(scratch, loaded.assets)
    weights_sha256 = tensors_digest(loaded.network.weights())
    origin = Weights(
        found.origin,
        found.address or (found.path.name if found.path else "numpy generator, untrained"),
        _checkpoint_digest(found.path) or weights_sha256,
    )
    identity = {
        "weights": weights_sha256,
        "spec": spec,
        "recipe": recipe_file.sha256,
        "origin": found.origin,
        "choice": choice.settings,
        "calibration": media.source,
        "files": [file.sha256 for variant in variants for file in variant.files],
        "assets": {role: file.sha256 for role, file in assets.items()},
    }
    return Manifest(
        schema_version=SCHEMA_VERSION,
        id=spec.id,
        version=package.next_version(job.out, spec.id),
        digest=package.digest(identity),
        spec=spec,
        variants=variants,
        golden=package.describe(kept),
        weights=origin,
        recipe_sha256=recipe_file.sha256,
        calibration=media.source,
        choice={**choice.settings, "reason": choice.reason, "seven_bits": seven_bits},
        candidates=choice.candidates,
        parity=exported.parity,
        tools=tool_versions(),
        onnxruntime_minimum=choice.settings.get("onnxruntime_minimum", ONNXRUNTIME_MINIMUM),
        assets=assets,
    )


def _checkpoint_digest(path: Path | None) -> str | None:
    return sha256(path) if path is not None and path.is_file() else content_digest(path)

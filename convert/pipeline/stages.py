"""One model through its stages: load, export, quantize, verify, package."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from convert.gate.evidence import MIN_SOURCES
from convert.gate.labelled import with_float
from convert.gate.rule import Rule, rule_for
from convert.gate.yardstick import measure_yardstick
from convert.package import artifact
from convert.pipeline.cache import recall, remember
from convert.pipeline.export import Exported, export_float
from convert.pipeline.inputs import resolve
from convert.pipeline.job import Inputs, Job, Outcome, Status
from convert.pipeline.load import Reference, load_reference
from convert.pipeline.manifest import build_manifest, build_spec
from convert.pipeline.similarity import calibrate as similarity
from convert.pipeline.verify import verify
from convert.quantize.choose import RequestedPrecision, choose
from convert.quantize.search.status import SearchStatus
from convert.recipe import RecipeFile, Tolerance
from convert.samples.sets import SYNTHETIC, largest_test
from runtime.artifact.manifest import Manifest

# receives the name of each stage as it begins, the state of the search while it quantizes, and a
# line about the fitted score of similarity, or about scales of pixels tried on labelled images
Report = Callable[[str | SearchStatus], None]


def convert(job: Job, report: Report) -> Outcome:
    """Resolve a job from local files, without a download, and run its stages in this process.

    Raises:
        ConvertError: the inputs or a stage were refused; nothing appeared under `job.out`.
        OSError: the disk is full or not writable; nothing appeared either.
    """
    return run_stages(resolve(job), job.recipe_file, report)


def recall_outcome(inputs: Inputs) -> Outcome | None:
    """Return an outcome without running a stage, if an equal conversion made the newest version.

    The files of that version are hashed; None if one is damaged, or if there is no such version.
    """
    start = time.perf_counter()
    manifest = recall(inputs.out, inputs.model_id, inputs.key)
    return _outcome(inputs, manifest, "unchanged", start) if manifest else None


def run_stages(inputs: Inputs, recipe_file: RecipeFile, report: Report) -> Outcome:
    """Run the stages on resolved inputs and publish the version, under a lock on the model.

    No stage runs if another process made an equal version while this one waited for the lock.

    Returns:
        An outcome with the status "packaged", or "unchanged" if nothing new was published.

    Raises:
        ConvertError: a stage refused; nothing appeared under `inputs.out`.
        OSError: the disk is full or not writable; nothing appeared either.
    """
    start = time.perf_counter()
    status: Status = "unchanged"
    with artifact.scratch_directory(inputs.out, inputs.model_id) as scratch:
        manifest = recall(inputs.out, inputs.model_id, inputs.key)
        if manifest is None:
            manifest, status = _run(inputs, recipe_file, scratch, report)
            remember(inputs.out, manifest, inputs.key)
    return _outcome(inputs, manifest, status, start)


def _run(
    inputs: Inputs, recipe_file: RecipeFile, scratch: Path, report: Report
) -> tuple[Manifest, Status]:
    """Run every stage; publish a version unless the newest has the same digest and layout.

    Returns:
        The manifest of the new version and "packaged"; or that of the newest and "unchanged".
    """
    recipe = recipe_file.recipe
    report("load")
    reference = load_reference(inputs, recipe_file)
    for note in reference.samples.notes:
        report(f"calibration: {note}")
    if reference.trial is not None:
        report(reference.trial)
    precision = recipe.precision if inputs.precision == "auto" else inputs.precision
    for note in labelled_notes(reference, precision):
        report(f"labelled: {note}")
    labelled = similarity.read_labelled_images(inputs.pairs, recipe, reference.loaded)
    report("export")
    exported = export_float(reference, scratch)
    report("quantize")
    rule = _rule(reference, exported, is_quantized=precision != "float")
    choice = choose(
        exported.run,
        reference.samples,
        rule=rule or Rule(Tolerance()),
        suppression=reference.loaded.suppression,
        precision=precision,
        effort=inputs.search,
        seconds=recipe.search_seconds,
        report=report,
    )
    scale = similarity.fit(labelled, choice.int8 or exported.run.path)
    spec = build_spec(inputs.model_id, reference, exported, scale)
    report("verify")
    verified = verify(reference, spec, exported, choice, rule, scratch, inputs.variants)
    if labelled is not None and scale is not None:
        variants = similarity.measure_variants(verified.variants, labelled, scale, scratch)
        verified = replace(verified, variants=variants)
        report(similarity.summary(variants[0]))
    manifest = build_manifest(inputs, spec, reference, exported, choice, verified)
    before = artifact.find_existing(inputs.out, manifest.id, manifest.digest)
    if before is not None and artifact.same_layout(before, manifest):
        return before, "unchanged"
    report("package")
    artifact.publish(scratch, inputs.out, manifest)
    return manifest, "packaged"


def labelled_notes(reference: Reference, precision: RequestedPrecision) -> Iterator[str]:
    """Yield what becomes of labelled media, a sentence each."""
    labelled = reference.labelled
    if labelled is None:
        return
    yield from labelled.notes
    count = f"{len(labelled.samples)} media of different origin"
    if reference.tolerance is None:
        yield f"{count}; they judge nothing: the weights are untrained"
    elif precision == "float":
        yield f"{count}; they judge nothing: INT8 is not tried"
    elif len(labelled.samples) >= MIN_SOURCES:
        yield f"{count}, enough to judge INT8"
    else:
        yield f"{count}; needed to judge INT8: {MIN_SOURCES}"


def _rule(reference: Reference, exported: Exported, *, is_quantized: bool) -> Rule | None:
    """Return the bounds that decide on INT8; None for untrained weights, which are not judged."""
    if reference.tolerance is None:
        return None
    run, samples, nms = exported.run, reference.samples, reference.loaded.suppression
    yardstick = measure_yardstick(run.path, samples, run.outputs, nms) if is_quantized else None
    labelled = reference.labelled
    return rule_for(
        reference.tolerance,
        run.outputs,
        rows=samples.sources,
        nms=nms,
        labelled=with_float(labelled, run.path, nms) if labelled and is_quantized else None,
        yardstick=yardstick,
        is_generated=samples.source == SYNTHETIC,
        largest=largest_test(samples.test),
    )


def _outcome(inputs: Inputs, manifest: Manifest, status: Status, start: float) -> Outcome:
    directory = inputs.out / manifest.id / str(manifest.version)
    return Outcome(manifest.id, status, str(directory), time.perf_counter() - start, manifest)

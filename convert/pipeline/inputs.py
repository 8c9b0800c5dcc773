"""From a job to its inputs: everything that a conversion reads, resolved and hashed once."""

from pathlib import Path

from convert import recipe
from convert.errors import LabelsError, RecipeError
from convert.gate.labelled import labels_digest
from convert.pipeline.cache import content_hashes, fingerprint
from convert.pipeline.job import LABELLED_TASKS, Inputs, Job
from convert.pipeline.similarity.labelled_pairs import read_pairs
from convert.recipe import Recipe, RecipeFile
from convert.samples.media import MODALITIES
from convert.samples.sets import MediaFiles, find_media
from convert.sources import AnySource
from convert.weights import resolve as weights
from convert.weights.resolve import Fetch


def source_to_fetch(job: Job) -> AnySource | None:
    """Return the source from which `resolve` would fetch the weights, even if they are cached.

    None if it would use local files, an installed package or seeded weights, or if the job names a
    checkpoint.
    """
    return weights.source_to_fetch(job.recipe_file, job.weights, job.checkpoint)


def resolve(job: Job, fetch: Fetch | None = None) -> Inputs:
    """Find and hash everything that a conversion reads.

    Args:
        job: the conversion that the user requests.
        fetch: downloads published weights; None: only files on this machine are used.

    Raises:
        ConvertError: the weights, a folder of media or the pairs are missing or refused.
    """
    recipe_file = job.recipe_file
    _check_options(job)
    resolved = weights.find(recipe_file, job.weights, job.checkpoint, job.labels, fetch)
    pairs = read_pairs(job.pairs) if job.pairs else None
    media = find_media(job.calibration, recipe_file.recipe) if job.calibration else None
    labelled = _find_labelled(job.labelled, recipe_file.recipe) if job.labelled else None
    checkpoint_hashes = content_hashes(resolved.path)
    key = fingerprint(
        recipe_file,
        checkpoint_hashes,
        labels=resolved.labels,
        calibration=media.digest if media else "synthetic",
        pairs=pairs.digest if pairs else None,
        # the manifest keeps the result of the trial, so it belongs to what was read
        labelled=labels_digest(labelled, recipe_file.recipe.task) if labelled else None,
        precision=job.precision,
        search=job.search,
        variants=job.variants,
        options=job.options,
    )
    return Inputs(
        model_id=recipe_file.id,
        recipe_path=recipe_file.path,
        recipe_sha256=recipe_file.sha256,
        out=job.out,
        weights=resolved,
        checkpoint_sha256=checkpoint_hashes[0] if checkpoint_hashes else None,
        media=media,
        pairs=pairs,
        labelled=labelled,
        precision=job.precision,
        search=job.search,
        variants=job.variants,
        options=job.options,
        key=key,
    )


def _find_labelled(directory: Path, recipe: Recipe) -> MediaFiles:
    media = find_media(directory, recipe)
    if not media.paths:
        modality = MODALITIES[recipe.media]
        suffixes = ", ".join(sorted(modality.suffixes))
        raise LabelsError(f"{directory}: no {modality.noun} ({suffixes})")
    return media


def _check_options(job: Job) -> None:
    """Refuse an option that the recipe does not read: it would be ignored without a word."""
    recipe_file = job.recipe_file
    task = recipe_file.recipe.task
    if job.labelled is not None and task not in LABELLED_TASKS:
        raise RecipeError(
            f"{recipe_file.id}: --labelled judges classes, boxes and masks, and this model's task "
            f"is {task}; its tolerance judges INT8, on --calibration media"
        )
    for name in job.options:
        flag = f"--{name.replace('_', '-')}"
        if job.weights == "seeded":
            raise RecipeError(f"{flag} and --weights seeded exclude each other")
        if name not in recipe_file.recipe.options:
            raise RecipeError(f"{recipe_file.id}: {flag} is no option of this model")


def read_recipe(inputs: Inputs) -> RecipeFile:
    """Read the recipe of resolved inputs again, in the process that runs the conversion.

    Recipes hold functions, which cannot be sent to that process.

    Raises:
        RecipeError: the file is not the one that was resolved, or does not run.
    """
    recipe_file = recipe.read(inputs.recipe_path)
    if recipe_file.sha256 != inputs.recipe_sha256:
        raise RecipeError(f"{inputs.recipe_path}: changed while it was being converted; run again")
    return recipe_file

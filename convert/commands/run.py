"""What the command line does, and how it tells."""

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from convert import recipe
from convert.commands import report
from convert.errors import ConvertError
from convert.pipeline.job import Job, Outcome
from convert.pipeline.subprocess_runner import run
from convert.recipe import RecipeFile
from convert.weights.download import Store
from runtime.cli.table import align

HEADINGS = ("model", "weights", "parity", "precision", "MB before", "MB after", "x faster", "s")


def run_models(options: argparse.Namespace) -> int:
    """Convert what was asked for; exit code 1 when any model was refused.

    Raises:
        ConvertError: the arguments contradict each other.
    """
    jobs = [
        Job(
            recipe_file,
            options.out,
            options.weights,
            options.checkpoint,
            options.calibration,
            options.precision,
            options.search,
            options.labels,
            pairs=options.pairs,
        )
        for recipe_file in recipe_files(options)
    ]
    outcomes = run(jobs, _progress, Store.from_environment(os.environ))
    _print_table(outcomes)
    refused = [outcome for outcome in outcomes if outcome.status == "refused"]
    for outcome in refused:
        print(f"convert: {outcome.model} refused: {outcome.message}", file=sys.stderr)
    told = _report(options.out, outcomes, datetime.now(UTC))
    if told and not refused:  # what keeps a report from being written has been told of the models
        print(f"convert: {told}", file=sys.stderr)
    return 1 if refused or told else 0


def _report(out: Path, outcomes: Sequence[Outcome], now: datetime) -> str | None:
    """Write the report of all that is in `out`; gives why it could not be."""
    refused = [
        report.Refused(outcome.model, outcome.message, outcome.seconds)
        for outcome in outcomes
        if outcome.status == "refused"
    ]
    try:
        for outcome in outcomes:
            made = outcome.manifest
            if made is not None and outcome.status == "packaged":
                at = now.isoformat(timespec="seconds")
                note = report.Made(made.version, made.digest, outcome.seconds, at)
                report.remember(out, made.id, note)
        page = report.publish(out, refused)
    except OSError as error:
        return f"no report: {error.filename or out}: {error.strerror or error}"
    print(f"\nreport: {page}")
    return None


def recipe_files(options: argparse.Namespace) -> list[RecipeFile]:
    """Return the recipes of the models that the command line names, each run once.

    Raises:
        RecipeError: no such recipe, or one that does not run.
        ConvertError: weights, labels or pairs for several models.
    """
    files = [recipe.find(model_id) for model_id in options.models]
    if options.recipe is not None:
        files.append(recipe.read(options.recipe))
    files = files or recipe.default_recipes()
    for name in ("checkpoint", "labels", "pairs"):
        if getattr(options, name) is not None and len(files) != 1:
            raise ConvertError(f"--{name} belongs to one model; {len(files)} were asked for")
    return files


def _progress(model_id: str, stage: str) -> None:
    print(f"{model_id}: {stage}", flush=True)


def _print_table(outcomes: Sequence[Outcome]) -> None:
    rows = [HEADINGS, *(_row(outcome) for outcome in outcomes)]
    print("\n".join(["", *align(rows)]))


def _row(outcome: Outcome) -> tuple[str, ...]:
    manifest = outcome.manifest
    seconds = f"{outcome.seconds:.0f}"
    if manifest is None:
        return (outcome.model, outcome.status, *["-"] * 5, seconds)
    best, plain = manifest.variants[0], manifest.variants[-1]
    before, after = (sum(f.size_bytes for f in v.files) / 1e6 for v in (plain, best))
    times = plain.verification["milliseconds"] / best.verification["milliseconds"]
    parity = max(manifest.parity.values())
    return (
        outcome.model,
        manifest.weights.origin,
        f"{parity:.0e}",
        best.precision,
        f"{before:.1f}",
        f"{after:.1f}",
        f"{times:.1f}",
        f"{seconds} ({outcome.status})",
    )

"""`python -m convert run`: convert models, print a table of the outcomes, and write the report."""

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from convert import recipe
from convert.commands import report
from convert.commands.progress import ProgressDisplay
from convert.errors import ConvertError
from convert.fidelity.meanings import describe_bound, meanings_in
from convert.pipeline.job import Job, Outcome
from convert.pipeline.subprocess_runner import run
from convert.recipe import RecipeFile
from convert.weights.download import Store
from runtime.artifact.manifest import Manifest
from runtime.cli.table import align

# by the verdict on INT8
WHY_FLOAT = {
    "refused": "is refused",
    "undecided": "is undecided",
    "unjudged": "is not judged",
    "untried": "was not tried",
}
HEADINGS = ("model", "weights", "parity", "precision", "MB before", "MB after", "x faster", "s")


def run_models(options: argparse.Namespace) -> int:
    """Convert the models that the command line names; return exit code 1 if one was refused.

    Raises:
        ConvertError: the options contradict each other.
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
            labels=options.labels,
            variants=tuple(sorted(set(options.variants))),
            pairs=options.pairs,
            labelled=options.labelled,
            options=checkpoint_facts(options),
        )
        for recipe_file in recipe_files(options)
    ]
    with ProgressDisplay(len(jobs)) as display:
        outcomes = run(jobs, display.report, Store.from_environment(os.environ))
    _print_table(outcomes)
    verdicts = judgements(outcomes)
    for sentence in (*verdicts, *_gpu_remarks(outcomes)):
        print(sentence)
    for name, meaning in meanings_in(verdicts).items():
        print(f"  {name}: {meaning}")
    for sentence in _warnings(outcomes):
        print(f"convert: {sentence}", file=sys.stderr)
    refused = [outcome for outcome in outcomes if outcome.status == "refused"]
    for outcome in refused:
        print(f"convert: {outcome.model} refused: {outcome.message}", file=sys.stderr)
    problem = _write_report(options.out, outcomes, datetime.now(UTC))
    if problem and not refused:  # a full disk refuses the models too, and is reported once
        print(f"convert: {problem}", file=sys.stderr)
    return 1 if refused or problem else 0


def checkpoint_facts(options: argparse.Namespace) -> dict[str, str]:
    """Return the facts about a checkpoint that the command line states, by the name of the option.

    Raises:
        ConvertError: the options contradict each other.
    """
    facts = {name: getattr(options, name) for name in ("arch", "input_scale", "input_size")}
    mean, std = options.input_mean, options.input_std
    if (mean is None) != (std is None):
        raise ConvertError("--input-mean and --input-std belong together")
    if mean is not None and options.input_scale is not None:
        raise ConvertError("--input-scale and --input-mean exclude each other")
    if mean is not None:
        facts["input_scale"] = f"{mean}/{std}"
    return {name: value for name, value in facts.items() if value is not None}


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
    for name in (
        "checkpoint",
        "labels",
        "pairs",
        "arch",
        "input_scale",
        "input_size",
        "input_mean",
    ):
        if getattr(options, name) is not None and len(files) != 1:
            flag = name.replace("_", "-")
            raise ConvertError(f"--{flag} belongs to one model; {len(files)} were asked for")
    return files


def _write_report(out: Path, outcomes: Sequence[Outcome], now: datetime) -> str | None:
    """Record the conversions and write the report of all of `out`; return a problem or None."""
    refused = [
        report.Refused(outcome.model, outcome.message, outcome.seconds)
        for outcome in outcomes
        if outcome.status == "refused"
    ]
    try:
        for outcome in outcomes:
            manifest = outcome.manifest
            if manifest is not None and outcome.status == "packaged":
                at = now.isoformat(timespec="seconds")
                conversion = report.Conversion(
                    manifest.version, manifest.digest, outcome.seconds, at
                )
                report.record_conversion(out, manifest.id, conversion)
        page = report.publish(out, refused)
    except OSError as error:
        return f"no report: {error.filename or out}: {error.strerror or error}"
    print(f"\nreport: {page}")
    return None


def judgements(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the verdict on INT8 for each model packaged: how it was found, and how sure it is.

    A verdict is a line that names it, and indented lines of details.
    """
    return [
        "\n  ".join([f"{outcome.model}: {heading}", *details])
        for outcome in outcomes
        if outcome.manifest is not None
        for heading, *details in [_judgement(outcome.manifest)]
    ]


def _judgement(manifest: Manifest) -> list[str]:
    choice, served = manifest.choice, manifest.variants[0]
    verdict, reason = str(choice.get("verdict", "")), str(choice["reason"])
    sureness = str({**choice, **served.verification}.get("sureness", ""))
    if served.precision == "float":
        lines = [f"float, because INT8 {WHY_FLOAT.get(verdict, 'is not packaged')}", reason]
        return [*lines, sureness] if sureness not in ("", reason) else lines
    lines = [f"{served.name}, {verdict}" if verdict else served.name, reason, sureness]
    if bound := served.verification.get("nearest_bound"):
        lines.append(f"least room: {describe_bound(bound, explained=False)}")
    return [line for line in lines if line]


def _gpu_remarks(outcomes: Sequence[Outcome]) -> list[str]:
    """Return what became of the variant for GPUs, for each model that was asked for one."""
    remarks = {
        o.model: o.manifest.choice.get("float16") for o in outcomes if o.manifest is not None
    }
    return [f"{model}: fp16 is {remark}" for model, remark in remarks.items() if remark]


def _warnings(outcomes: Sequence[Outcome]) -> list[str]:
    """Return a sentence for each fact that was assumed, of the versions in the table."""
    return [
        f"warning: {outcome.model}: {fact.sentence}"
        for outcome in outcomes
        if outcome.manifest is not None
        for fact in outcome.manifest.assumptions
        if fact.origin == "default"
    ]


def _print_table(outcomes: Sequence[Outcome]) -> None:
    rows = [HEADINGS, *(_row(outcome) for outcome in outcomes)]
    print("\n".join(["", *align(rows)]))


def _row(outcome: Outcome) -> tuple[str, ...]:
    manifest = outcome.manifest
    seconds = f"{outcome.seconds:.0f}"
    if manifest is None:
        return (outcome.model, outcome.status, *["-"] * 5, seconds)
    served, plain = manifest.variants[0], manifest.plain
    before, after = (sum(f.size_bytes for f in v.files) / 1e6 for v in (plain, served))
    speedup = plain.verification["milliseconds"] / served.verification["milliseconds"]
    parity = max(manifest.parity.values())
    return (
        outcome.model,
        manifest.weights.origin,
        f"{parity:.0e}",
        served.precision,
        f"{before:.1f}",
        f"{after:.1f}",
        f"{speedup:.1f}",
        f"{seconds} ({outcome.status})",
    )

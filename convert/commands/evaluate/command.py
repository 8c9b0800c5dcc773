"""`python -m convert evaluate`: print the accuracy of two models, and the cases they differ in."""

import argparse
import json
import sys
from collections.abc import Iterator
from typing import Any

from convert.commands.evaluate.accuracy import Accuracy
from convert.commands.evaluate.cases import (
    CasesError,
    has_masks,
    read_labelled,
    read_masked,
    subset,
)
from convert.commands.evaluate.measure import Evaluation, evaluate_labels, evaluate_masks
from convert.commands.evaluate.model_pair import ModelPair, load_models
from convert.commands.evaluate.tables import format_result
from convert.commands.verify.inputs import media_kind
from convert.samples.media import MODALITIES
from runtime.errors import SlipwayError

MASKED_TASK = "image-segmentation"


def evaluate(options: argparse.Namespace) -> int:
    """Evaluate and print; return exit code 1 on an error, or on a larger loss than allowed."""
    try:
        models = load_models(options)
        evaluation = _evaluate(models, options)
    except (SlipwayError, OSError) as error:
        print(f"convert: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(_to_json(models, evaluation)))
    else:
        print("\n".join(_to_text(models, evaluation)))
    for file in evaluation.unreadable:
        print(f"convert: left out: {file.file}: {file.reason}", file=sys.stderr)
    return _exit_code(evaluation, options.allowed_loss)


def _evaluate(models: ModelPair, options: argparse.Namespace) -> Evaluation:
    suffixes = MODALITIES[media_kind(models.after)].suffixes
    task = models.after.spec.task
    if task == MASKED_TASK:
        masked_cases = read_masked(options.cases, suffixes)
        return evaluate_masks(models, subset(masked_cases, options.limit))
    if has_masks(options.cases):
        raise CasesError(f"{options.cases} has masks; {models.after.spec.id} answers {task}")
    cases = read_labelled(options.cases, suffixes, options.ignore)
    return evaluate_labels(models, subset(cases, options.limit))


def _to_json(models: ModelPair, evaluation: Evaluation) -> dict[str, Any]:
    manifest = models.after.manifest
    return {
        "model": manifest.id,
        "version": manifest.version,
        "digest": manifest.digest,
        "weights": manifest.weights.origin,
        "before": models.before.variant.name,
        "after": models.after.variant.name,
        **evaluation.result.to_json(),
        "unreadable": [{"file": e.file, "reason": e.reason} for e in evaluation.unreadable],
    }


def _to_text(models: ModelPair, evaluation: Evaluation) -> Iterator[str]:
    manifest, after = models.after.manifest, models.after.variant.name
    model = f"{manifest.id}/{manifest.version}, {manifest.weights.origin} weights"
    yield f"{model}: float against {after}"
    if after == models.before.variant.name:
        yield "this machine serves float, so nothing can differ; --variant compares another variant"
    yield ""
    yield from format_result(evaluation.result)


def _exit_code(evaluation: Evaluation, allowed_points: float | None) -> int:
    """Return 1, and say so, if more percentage points are lost than allowed."""
    if allowed_points is None:
        return 0
    facts = evaluation.result.to_json()
    gain = facts["net_change"]
    if isinstance(evaluation.result, Accuracy):
        gain /= facts["cases"]
    lost_points = -100 * gain
    if lost_points <= allowed_points:
        return 0
    print(f"convert: {lost_points:.2f} points are lost; allowed: {allowed_points}", file=sys.stderr)
    return 1

"""`python -m convert evaluate`: two accuracies, and where they differ."""

import argparse
import json
import sys
from collections.abc import Iterator
from typing import Any

from convert.commands.evaluate.cases import CasesError, has_masks, labelled, limited, masked
from convert.commands.evaluate.classes import Accuracy
from convert.commands.evaluate.measure import Measured, by_label, by_mask
from convert.commands.evaluate.sides import Sides, both_sides
from convert.commands.evaluate.tables import lines
from convert.commands.verify.inputs import kind_of
from convert.samples.media import MODALITIES
from runtime.errors import SlipwayError

MASKED_TASK = "image-segmentation"


def evaluate(options: argparse.Namespace) -> int:
    """Measure and print; exit code 1 where something is refused or too much is lost."""
    try:
        sides = both_sides(options)
        measured = _measured(sides, options)
    except (SlipwayError, OSError) as error:
        print(f"convert: {error}", file=sys.stderr)
        return 1
    facts = _facts(sides, measured)
    text = json.dumps(facts) if options.json else "\n".join(_text(sides, measured))
    print(text)
    for each in measured.unreadable:
        print(f"convert: left out: {each.file}: {each.reason}", file=sys.stderr)
    return _judged(measured, options.allowed_loss)


def _measured(sides: Sides, options: argparse.Namespace) -> Measured:
    suffixes = MODALITIES[kind_of(sides.after)].suffixes
    task = sides.after.spec.task
    if task == MASKED_TASK:
        return by_mask(sides, limited(masked(options.cases, suffixes), options.limit))
    if has_masks(options.cases):
        raise CasesError(f"{options.cases} has masks; {sides.after.spec.id} answers {task}")
    cases = labelled(options.cases, suffixes, options.ignore)
    return by_label(sides, limited(cases, options.limit))


def _facts(sides: Sides, measured: Measured) -> dict[str, Any]:
    manifest = sides.after.manifest
    return {
        "model": manifest.id,
        "version": manifest.version,
        "digest": manifest.digest,
        "weights": manifest.weights.origin,
        "before": sides.before.variant.name,
        "after": sides.after.variant.name,
        **measured.result.to_json(),
        "unreadable": [{"file": e.file, "reason": e.reason} for e in measured.unreadable],
    }


def _text(sides: Sides, measured: Measured) -> Iterator[str]:
    manifest, after = sides.after.manifest, sides.after.variant.name
    model = f"{manifest.id}/{manifest.version}, {manifest.weights.origin} weights"
    yield f"{model}: float against {after}"
    if after == sides.before.variant.name:
        yield "float is what this machine serves: nothing can differ; --variant names another"
    yield ""
    yield from lines(measured.result)


def _judged(measured: Measured, allowed_points: float | None) -> int:
    if allowed_points is None:
        return 0
    facts = measured.result.to_json()
    share = facts["net_change"]
    if isinstance(measured.result, Accuracy):
        share /= facts["cases"]
    lost = -100 * share
    if lost <= allowed_points:
        return 0
    print(f"convert: {lost:.2f} points are lost; allowed: {allowed_points}", file=sys.stderr)
    return 1

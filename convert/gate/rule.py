"""Decide by which bounds INT8 is judged: those of its task where the test samples are enough.

The bounds of a task say what users would lose. They need evidence: with less, the recipe's stricter
tolerance decides, so that too few samples never package more than many do.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.fidelity.boxes import count_sure_boxes
from convert.fidelity.classes import sure_inputs
from convert.gate.labelled import Labelled
from convert.gate.yardstick import Yardstick
from convert.metrics import LABELLED_LOSS, LABELLED_LOSS_UPPER, Outputs
from convert.recipe import Tolerance
from convert.samples.division import MIN_JUDGES
from runtime.artifact.manifest import NmsConfig

MIN_SOURCES = MIN_JUDGES  # inputs of different origin
MIN_SURE_INPUTS = 100
MIN_SURE_BOXES = 100

CLASSES = Tolerance(
    at_least={"sure_agreement": 0.99, "sure_agreement_lower": 0.95, "class_correlation": 0.9},
    at_most={
        "regret": 0.01,
        "regret_upper": 0.01,
        "probability_distance": 0.08,
        "confidence_shift": 0.03,
    },
)
BOXES = Tolerance(
    at_least={
        "sure_recall": 0.96,
        "sure_recall_lower": 0.92,
        "sure_precision": 0.96,
        "sure_precision_lower": 0.92,
        "sure_iou_mean": 0.9,
        "score_correlation": 0.5,  # good graphs 0.56 to 1.00; broken ones at most 0.43
    },
    at_most={"score_shift": 0.06},
)
# metrics of a recipe that the bounds of the task replace
REPLACED: Mapping[str, tuple[str, ...]] = {
    "probabilities": ("top1_agreement", "probability_distance", "probability_distance_p95"),
    "boxes_xyxy": ("box_recall", "box_iou_mean", "box_iou_p05", "score_difference"),
    "alpha": ("iou_mean", "iou_p05"),  # with labels alone
}
TASK_BOUNDS: Mapping[str, Tolerance] = {"probabilities": CLASSES, "boxes_xyxy": BOXES}
STATISTICAL = ("_upper", "_lower")  # endings of bounds of the mean or share that they follow
# labelled media say what these can only estimate
LABELLED_INSTEAD_OF = (
    *("regret", "regret_upper", "sure_agreement", "sure_agreement_lower"),
    *("sure_recall", "sure_recall_lower", "sure_precision", "sure_precision_lower"),
)
LARGEST_LABELLED_LOSS = 0.01
LARGEST_EASING = 2.0  # how far the yardstick may move a bound from its perfect value


@dataclass(frozen=True, slots=True)
class Evidence:
    """Counts of what the test samples can prove, on the float graph's answers alone."""

    sources: int
    sure: int | None = None  # sure inputs or boxes; None: the task needs none
    sure_noun: str = ""  # "sure inputs" or "sure boxes"
    sure_needed: int = 0

    @property
    def shortage(self) -> str:
        """Return how much more would settle it, in a sentence; empty if nothing is missing."""
        parts = []
        if self.sources < MIN_SOURCES:
            parts.append(f"{MIN_SOURCES - self.sources} more test media")
        if self.sure is not None and self.sure < self.sure_needed:
            lacking = self.sure_needed - self.sure
            media = math.ceil(lacking * self.sources / self.sure) if self.sure else 0
            estimate = f", about {media} test media like these" if media else ""
            parts.append(f"{lacking} more {self.sure_noun}{estimate}")
        return " and ".join(parts)

    def __str__(self) -> str:
        """Return the counts."""
        sure = "" if self.sure is None else f" with {self.sure} {self.sure_noun}"
        return f"{self.sources} test media of different origin{sure}"


@dataclass(frozen=True, slots=True)
class Rule:
    """The bounds that decide whether INT8 is close enough to its reference.

    Attributes:
        tolerance: of the recipe; decides where `gate` is None or proves nothing.
        gate: of the task; None if there is too little evidence, or the task has none.
        evidence: None where fidelity is not judged in the terms of a task.
        rows: one test sample of each source, on which the task's metrics are measured; None: all.
        labelled: labelled media, enough to judge by; None: there are too few.
        yardstick: what float loses to changes that nobody notices; None: not measured.
    """

    tolerance: Tolerance
    gate: Tolerance | None = None
    evidence: Evidence | None = None
    rows: tuple[int, ...] | None = None
    labelled: Labelled | None = None
    yardstick: Yardstick | None = None

    @property
    def search(self) -> Tolerance:
        """Return the bounds for the search: without those that only say how sure a value is."""
        return self.tolerance if self.gate is None else of_values(self.gate)

    def violations(self, metrics: Mapping[str, float]) -> list[str]:
        """Return a sentence for each violated bound; empty: INT8 is close enough.

        Where the values keep the bounds of the task and are not sure to, the recipe's tolerance
        decides; if it is violated, how much more would settle it is told with it.
        """
        if self.gate is None:
            return self.tolerance.violations(metrics)
        missing = [
            f"{name} cannot be measured on these samples"
            for name in (*self.gate.at_least, *self.gate.at_most)
            if name not in metrics
        ]
        reasons = self.search.violations(metrics) + missing
        if reasons:
            return reasons
        unsure = _of_certainty(self.gate).violations(metrics)
        strict = self.tolerance.violations(metrics) if unsure else []
        return [*unsure, *strict, self._doubt(metrics)] if strict else []

    def labelled_metrics(self, path: Path) -> Mapping[str, float]:
        """Return the metrics of a graph on labelled media, which judge; empty without any."""
        return {} if self.labelled is None else self.labelled.measure(path)

    def decided_by_task(self, metrics: Mapping[str, float]) -> bool:
        """Return whether the bounds of the task decided, not the recipe's."""
        if self.gate is None:
            return False
        return not self.gate.violations(metrics) or bool(self.search.violations(metrics))

    def _doubt(self, metrics: Mapping[str, float]) -> str:
        """Return how many more media would settle a verdict that the task's bounds leave open.

        A bound comes as near to its mean as one over the root of the number of media.
        """
        assert self.gate is not None  # else the recipe decides
        assert self.evidence is not None
        factors = [1.0]
        for name, bound in (*self.gate.at_least.items(), *self.gate.at_most.items()):
            stem = name.removesuffix("_upper").removesuffix("_lower")
            room, distance = metrics[stem] - bound, metrics[stem] - metrics[name]
            if name != stem and room and abs(distance) > abs(room):
                factors.append((distance / room) ** 2)
        more = math.ceil((max(factors) - 1) * self.evidence.sources)
        return f"about {more} more test media would settle it" if more else "no media settle it"

    def describe(self, metrics: Mapping[str, float]) -> str:
        """Return one line: by which bounds the verdict was found and how sure it is."""
        if self.evidence is None:
            return "judged by the recipe's tolerance"
        if self.gate is None:
            return (
                f"judged by the recipe's tolerance, on {self.evidence}; the bounds of the task "
                f"need {self.evidence.shortage}"
            )
        if not self.decided_by_task(metrics):
            return f"judged by the recipe's tolerance: {self.evidence} leave the task's in doubt"
        if self.labelled is not None:
            lost, at_most = (100 * metrics[n] for n in (LABELLED_LOSS, LABELLED_LOSS_UPPER))
            return (
                f"judged by {self.evidence.sources} labelled media: {lost:.2f} points of "
                f"{self.labelled.noun} lost, with 95 % certainty at most {at_most:.2f}"
            )
        return f"judged by the bounds of the task, on {self.evidence}; {_sureness(metrics)}"


def rule_for(
    tolerance: Tolerance,
    outputs: Outputs,
    *,
    rows: tuple[int, ...] | None = None,
    nms: NmsConfig | None = None,
    labelled: Labelled | None = None,
    yardstick: Yardstick | None = None,
) -> Rule:
    """Choose the bounds for the test samples.

    Args:
        tolerance: of the recipe; without bounds, or `strict`, it decides alone.
        outputs: the float graph's answers to the test samples.
        rows: one sample of each source; None: each is one.
        nms: the settings with which a detector serves; None for other tasks.
        labelled: MIN_SOURCES of them judge, in place of the test samples.
        yardstick: no bound becomes tighter than float's own change by everyday handling.
    """
    judged = TASK_BOUNDS if labelled is None else REPLACED
    named = [name for name in judged if name in outputs]
    if tolerance == Tolerance() or tolerance.strict or not named:
        return Rule(tolerance, rows=rows, yardstick=yardstick)
    output = named[0]
    if labelled is not None and len(labelled) >= MIN_SOURCES:
        by_labels = _by_labels(TASK_BOUNDS.get(output, Tolerance()))
        bounds = _with_recipe(by_labels, tolerance, REPLACED[output])
        eased = ease(bounds, yardstick.everyday) if yardstick else bounds
        return Rule(tolerance, eased, Evidence(len(labelled)), rows, labelled, yardstick)
    if output not in TASK_BOUNDS:
        return Rule(tolerance, rows=rows, yardstick=yardstick)
    if rows is not None:
        outputs = {name: array[list(rows)] for name, array in outputs.items()}
    count = len(outputs[output])
    if output == "boxes_xyxy":
        assert nms is not None  # a detector without these settings is refused
        boxes = count_sure_boxes(outputs, nms)
        evidence = Evidence(count, boxes, "sure boxes", MIN_SURE_BOXES)
    else:
        sure = int(sure_inputs(outputs["probabilities"]).sum())
        evidence = Evidence(count, sure, "sure inputs", MIN_SURE_INPUTS)
    if evidence.shortage:
        return Rule(tolerance, None, evidence, rows, None, yardstick)
    bounds = _with_recipe(TASK_BOUNDS[output], tolerance, REPLACED[output])
    if yardstick is not None:
        bounds = ease(bounds, yardstick.everyday)
    return Rule(tolerance, bounds, evidence, rows, None, yardstick)


def _by_labels(bounds: Tolerance) -> Tolerance:
    """Return the bounds with the loss on labelled media in place of what estimates it."""
    kept = _select(bounds, lambda name: name not in LABELLED_INSTEAD_OF)
    return Tolerance(kept.at_least, {**kept.at_most, LABELLED_LOSS: LARGEST_LABELLED_LOSS})


def ease(bounds: Tolerance, own: Mapping[str, float]) -> Tolerance:
    """Move each bound that is tighter than float's own change to that change.

    A bound moves at most to LARGEST_EASING times its distance from the perfect value: a model that
    falls apart under JPEG proves nothing about INT8.
    """
    return Tolerance(
        {
            name: min(bound, max(own.get(name, bound), 1 - LARGEST_EASING * (1 - bound)))
            for name, bound in bounds.at_least.items()
        },
        {
            name: max(bound, min(own.get(name, bound), LARGEST_EASING * bound))
            for name, bound in bounds.at_most.items()
        },
    )


def record(rule: Rule, metrics: Mapping[str, float]) -> dict[str, Any]:
    """Return the fields of a variant's `verification` that tell how it was judged."""
    by_task = rule.decided_by_task(metrics)
    bounds = rule.gate if by_task and rule.gate is not None else rule.tolerance
    recorded: dict[str, Any] = {
        "tolerance": {"at_least": dict(bounds.at_least), "at_most": dict(bounds.at_most)},
        "judged_by": "task" if by_task else "recipe",
        "sureness": rule.describe(metrics),
        "nearest_bound": nearest_bound(bounds, metrics),
    }
    if rule.evidence is not None:
        evidence = {"sources": rule.evidence.sources}
        if rule.evidence.sure is not None:
            evidence[rule.evidence.sure_noun.replace(" ", "_")] = rule.evidence.sure
        recorded["evidence"] = evidence
    if rule.yardstick is not None:
        recorded["yardstick"] = rule.yardstick.to_json()
    return recorded


def nearest_bound(bounds: Tolerance, metrics: Mapping[str, float]) -> dict[str, Any]:
    """Return the bound with the least room: the one that decided, or would first.

    Room is measured as a share of what the bound allows: of its distance from the perfect value.

    Returns:
        "metric", its "value", and the bound as "at_least" or "at_most"; empty without bounds.
    """
    rooms = [
        ((metrics[name] - bound) / ((1 - bound) or 1), name, "at_least", bound)
        for name, bound in bounds.at_least.items()
        if name in metrics
    ] + [
        ((bound - metrics[name]) / (bound or 1), name, "at_most", bound)
        for name, bound in bounds.at_most.items()
        if name in metrics
    ]
    if not rooms:
        return {}
    _, name, relation, bound = min(rooms)
    return {"metric": name, "value": metrics[name], relation: bound}


def _with_recipe(bounds: Tolerance, recipe: Tolerance, replaced: tuple[str, ...]) -> Tolerance:
    """Add the recipe's bounds on other metrics; on one of the task, the recipe's is taken."""
    at_least = {k: v for k, v in recipe.at_least.items() if k not in replaced}
    at_most = {k: v for k, v in recipe.at_most.items() if k not in replaced}
    return Tolerance({**bounds.at_least, **at_least}, {**bounds.at_most, **at_most})


def of_values(bounds: Tolerance) -> Tolerance:
    """Return the bounds on values, without those that say how sure a value is."""
    return _select(bounds, lambda name: not name.endswith(STATISTICAL))


def _of_certainty(bounds: Tolerance) -> Tolerance:
    return _select(bounds, lambda name: name.endswith(STATISTICAL))


def _select(bounds: Tolerance, condition: Callable[[str], bool]) -> Tolerance:
    return Tolerance(
        {name: bound for name, bound in bounds.at_least.items() if condition(name)},
        {name: bound for name, bound in bounds.at_most.items() if condition(name)},
    )


def _sureness(metrics: Mapping[str, float]) -> str:
    values = [
        f"{name} {value:.4f}" for name, value in metrics.items() if name.endswith(STATISTICAL)
    ]
    return f"with 95 % certainty {', '.join(values)}"

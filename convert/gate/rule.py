"""Decide by which bounds INT8 is judged: those of its task where the test samples are enough.

The bounds of a task say what users would lose. They need evidence: with less, the recipe's stricter
tolerance decides, so that too few samples never package more than many do.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from convert.fidelity.boxes import sure_boxes
from convert.fidelity.classes import MIN_OF_CLASS, sure_inputs
from convert.gate.evidence import MIN_SOURCES, Evidence
from convert.gate.labelled import Labelled
from convert.gate.yardstick import Yardstick
from convert.metrics import LABELLED_LOSS, Outputs
from convert.recipe import Tolerance
from convert.samples.sets import MAX_TEST_FILES
from runtime.artifact.manifest import NmsConfig

MIN_SURE_INPUTS = 100
MIN_SURE_BOXES = 100

CLASSES = Tolerance(
    at_least={
        "sure_agreement": 0.99,
        "sure_agreement_lower": 0.95,
        "class_correlation": 0.9,
        "class_ratio": 0.75,  # good graphs 0.87 and more; probabilities that are halved 0.54
    },
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
        "score_ratio": 0.6,  # good graphs 0.68 to 1.00; a class of halved scores at most 0.54
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
class Rule:
    """The bounds that decide whether INT8 is close enough to its reference.

    Attributes:
        tolerance: of the recipe; decides where `gate` is None or proves nothing.
        gate: of the task; None if there is too little evidence, or the task has none.
        evidence: None where fidelity is not judged in the terms of a task.
        rows: one test sample of each source, on which the task's metrics are measured; None: all.
        labelled: labelled media, enough to judge by; None: there are too few.
        yardstick: what float loses to changes that nobody notices; None: not measured.
        inputs: test samples on which the recipe's metrics are measured.
        is_generated: the test samples are synthetic.
    """

    tolerance: Tolerance
    gate: Tolerance | None = None
    evidence: Evidence | None = None
    rows: tuple[int, ...] | None = None
    labelled: Labelled | None = None
    yardstick: Yardstick | None = None
    inputs: int = field(default=0, compare=False)
    is_generated: bool = field(default=False, compare=False)

    @property
    def search(self) -> Tolerance:
        """Return the bounds for the search: without those that only say how sure a value is."""
        return self.tolerance if self.gate is None else of_values(self.gate)

    def violations(self, metrics: Mapping[str, float]) -> list[str]:
        """Return a sentence for each violated bound; empty: INT8 is close enough.

        Where the values keep the bounds of the task and are not sure to, the recipe's tolerance
        decides.
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
        return [*unsure, *strict] if strict else []

    def labelled_metrics(self, path: Path) -> Mapping[str, float]:
        """Return the metrics of a graph on labelled media, which judge; empty without any."""
        return {} if self.labelled is None else self.labelled.measure(path)

    def decided_by_task(self, metrics: Mapping[str, float]) -> bool:
        """Return whether the bounds of the task decided, not the recipe's."""
        if self.gate is None:
            return False
        return not self.gate.violations(metrics) or bool(self.search.violations(metrics))

    def is_undecided(self, metrics: Mapping[str, float]) -> bool:
        """Return whether a graph is refused for lack of evidence: more of it might accept it."""
        if self.evidence is None or not self.violations(metrics):
            return False
        return self.gate is None or (
            not self.decided_by_task(metrics) and self.sources_needed(metrics) is not None
        )

    def sources_needed(self, metrics: Mapping[str, float]) -> int | None:
        """Return how many test samples settle what the task's bounds leave open; None: none do.

        A bound comes as near to its mean as one over the root of the number of samples.
        """
        assert self.gate is not None  # else the recipe decides
        assert self.evidence is not None
        factors = [1.0]
        for name, bound in (*self.gate.at_least.items(), *self.gate.at_most.items()):
            stem = name.removesuffix("_upper").removesuffix("_lower")
            room, distance = metrics[stem] - bound, metrics[stem] - metrics[name]
            if name != stem and room and abs(distance) > abs(room):
                factors.append((distance / room) ** 2)
        largest = max(factors)
        return math.ceil(largest * self.evidence.sources) if largest > 1 else None

    def advice(self, metrics: Mapping[str, float]) -> str:
        """Return what would settle an undecided verdict, in a sentence."""
        assert self.evidence is not None  # else nothing is undecided
        if self.gate is None:
            return self.evidence.advice
        return self.evidence.to_have(self.sources_needed(metrics))


def rule_for(
    tolerance: Tolerance,
    outputs: Outputs,
    *,
    rows: tuple[int, ...] | None = None,
    nms: NmsConfig | None = None,
    labelled: Labelled | None = None,
    yardstick: Yardstick | None = None,
    is_generated: bool = False,
    largest: int = MAX_TEST_FILES,
) -> Rule:
    """Choose the bounds for the test samples.

    Args:
        tolerance: of the recipe; without bounds, or `strict`, it decides alone.
        outputs: the float graph's answers to the test samples.
        rows: one sample of each source; None: each is one.
        nms: the settings with which a detector serves; None for other tasks.
        labelled: MIN_SOURCES of them judge, in place of the test samples.
        yardstick: no bound becomes tighter than float's own change by everyday handling.
        is_generated: the test samples are synthetic.
        largest: test samples of this size that are used at most.
    """
    rule = Rule(
        tolerance,
        rows=rows,
        yardstick=yardstick,
        inputs=len(next(iter(outputs.values()))),
        is_generated=is_generated,
    )
    judged = TASK_BOUNDS if labelled is None else REPLACED
    named = [name for name in judged if name in outputs]
    if tolerance == Tolerance() or tolerance.strict or not named:
        return rule
    output = named[0]
    if labelled is not None and len(labelled) >= MIN_SOURCES:
        by_labels = _by_labels(TASK_BOUNDS.get(output, Tolerance()))
        bounds = _with_recipe(by_labels, tolerance, REPLACED[output])
        eased = ease(bounds, yardstick.everyday) if yardstick else bounds
        return replace(rule, gate=eased, evidence=Evidence(len(labelled)), labelled=labelled)
    if output not in TASK_BOUNDS:
        return rule
    if rows is not None:
        outputs = {name: array[list(rows)] for name, array in outputs.items()}
    evidence = replace(_evidence(outputs, nms), is_generated=is_generated, largest=largest)
    if evidence.shortage:
        return replace(rule, evidence=evidence)
    bounds = _with_recipe(TASK_BOUNDS[output], tolerance, REPLACED[output])
    if yardstick is not None:
        bounds = ease(bounds, yardstick.everyday)
    return replace(rule, gate=bounds, evidence=evidence)


def _evidence(outputs: Outputs, nms: NmsConfig | None) -> Evidence:
    """Count what the float graph's answers to one sample of each source can prove."""
    if "boxes_xyxy" in outputs:
        assert nms is not None  # a detector without these settings is refused
        boxes = sure_boxes(outputs, nms)
        classes = [class_id for of_image in boxes for class_id in np.unique(of_image.classes)]
        counts = np.unique(classes, return_counts=True)[1]
        sure, noun, needed = sum(len(b.scores) for b in boxes), "sure boxes", MIN_SURE_BOXES
    else:
        probabilities = outputs["probabilities"]
        is_sure = sure_inputs(probabilities)
        counts = np.unique(probabilities[is_sure].argmax(axis=1), return_counts=True)[1]
        sure, noun, needed = int(is_sure.sum()), "sure inputs", MIN_SURE_INPUTS
    judged = int((counts >= MIN_OF_CLASS).sum())
    return Evidence(len(next(iter(outputs.values()))), sure, noun, needed, (judged, len(counts)))


def _by_labels(bounds: Tolerance) -> Tolerance:
    """Return the bounds with the loss on labelled media in place of what estimates it."""
    others = _select(bounds, lambda name: name not in LABELLED_INSTEAD_OF)
    return Tolerance(others.at_least, {**others.at_most, LABELLED_LOSS: LARGEST_LABELLED_LOSS})


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

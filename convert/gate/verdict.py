"""The verdict on INT8 in words: by which bounds, on how much evidence, how sure it is."""

from collections.abc import Mapping
from typing import Any, Literal

from convert.fidelity.classes import MIN_OF_CLASS
from convert.gate.rule import STATISTICAL, Rule
from convert.metrics import LABELLED_LOSS, LABELLED_LOSS_UPPER
from convert.recipe import Tolerance

# "unjudged": its weights are untrained; "untried": nobody asked for INT8
Outcome = Literal["accepted", "refused", "undecided", "unjudged", "untried"]

_LOWER, _UPPER = STATISTICAL[::-1]


def describe(rule: Rule, metrics: Mapping[str, float]) -> str:
    """Return one line: by which bounds a verdict was found, on how many media, how sure it is."""
    if rule.evidence is None:
        kind = "generated inputs" if rule.is_generated else "test media"
        return _with_sureness(f"judged by the recipe's tolerance, on {rule.inputs} {kind}", metrics)
    if rule.gate is None:
        return (
            f"judged by the recipe's tolerance, on {rule.evidence}; the bounds of the task need "
            f"{rule.evidence.shortage}"
        )
    if not rule.decided_by_task(metrics):
        doubt = f"judged by the recipe's tolerance: {rule.evidence} leave the task's in doubt"
        return _with_sureness(doubt, metrics)
    if rule.labelled is not None:
        lost, at_most = (100 * metrics[n] for n in (LABELLED_LOSS, LABELLED_LOSS_UPPER))
        return (
            f"judged by {rule.evidence.sources} labelled media: {lost:.2f} points of "
            f"{rule.labelled.noun} lost, with 95 % certainty at most {at_most:.2f}"
        )
    judged = f"judged by the bounds of the task, on {rule.evidence}"
    return _with_sureness(judged + _classes(rule), metrics)


def record(rule: Rule, metrics: Mapping[str, float]) -> dict[str, Any]:
    """Return the fields of a graph's `verification` that tell how it was judged."""
    by_task = rule.decided_by_task(metrics)
    bounds = rule.gate if by_task and rule.gate is not None else rule.tolerance
    recorded: dict[str, Any] = {
        "tolerance": {"at_least": dict(bounds.at_least), "at_most": dict(bounds.at_most)},
        "judged_by": "task" if by_task else "recipe",
        "sureness": describe(rule, metrics),
        "nearest_bound": nearest_bound(bounds, metrics),
    }
    if rule.evidence is not None:
        recorded["evidence"] = rule.evidence.to_json()
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


def unjudged(outcome: Outcome, reason: str) -> dict[str, Any]:
    """Return the fields of a manifest's `choice` where no graph was judged."""
    return {"verdict": outcome, "sureness": reason}


def verdict(
    outcome: Outcome, rule: Rule, metrics: Mapping[str, float], looks: int
) -> dict[str, Any]:
    """Return the fields of a manifest's `choice` that tell the verdict on INT8.

    Args:
        outcome: "accepted", "refused" or "undecided".
        rule: by which graphs were judged.
        metrics: on the test samples, of the graph that was accepted, or came nearest to it.
        looks: graphs that were judged.
    """
    facts = record(rule, metrics)
    del facts["tolerance"]  # it is that of the variant, where there is one
    advice = {"advice": rule.advice(metrics)} if outcome == "undecided" else {}
    return {"verdict": outcome, **advice, "graphs_judged": looks, **facts}


def _classes(rule: Rule) -> str:
    """Return of how many classes too little was seen to judge each; empty if of none."""
    assert rule.evidence is not None
    judged, seen = rule.evidence.classes or (0, 0)
    if judged == seen:
        return ""
    few = f"{seen - judged} in fewer than {MIN_OF_CLASS} media: too few to judge alone"
    return f" (of {seen} classes, {few})"


def _with_sureness(text: str, metrics: Mapping[str, float]) -> str:
    values = [
        f"{name.removesuffix(_LOWER)} at least {value:.4f}"
        if name.endswith(_LOWER)
        else f"{name.removesuffix(_UPPER)} at most {value:.4f}"
        for name, value in metrics.items()
        if name.endswith(STATISTICAL) and name != LABELLED_LOSS_UPPER
    ]
    return f"{text}; with 95 % certainty {', '.join(values)}" if values else text

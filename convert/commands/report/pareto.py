"""Lay out the plot of fidelity by latency, and find the candidates that no other one beats."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from convert.commands.report.facts import ModelFacts

WIDTH, HEIGHT = 420, 180  # px
LEFT, RIGHT, TOP, BOTTOM = 52, WIDTH - 12, 10, HEIGHT - 30  # px, the edges inside the margins
LOWEST = 0.8  # the axis never starts lower: worse candidates are drawn at its lower edge


@dataclass(frozen=True, slots=True)
class Mark:
    """One candidate and its place in the plot."""

    name: str
    milliseconds: float
    fidelity: float  # 1 is best
    kind: Literal["float", "quantized", "searched"]  # its class in the page's style
    x: float = 0.0  # px
    y: float = 0.0  # px, from the top


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot of one model's candidates, at least two."""

    metric: str
    marks: tuple[Mark, ...]
    front: tuple[Mark, ...]  # the marks that no other one beats, the fastest first
    slowest: float  # milliseconds at the right edge; the left edge is 0
    highest: float  # fidelity at the upper edge
    lowest: float  # fidelity at the lower edge
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = RIGHT
    top: int = TOP
    bottom: int = BOTTOM


def plot_of(model: ModelFacts) -> Plot | None:
    """Return the plot of a model's candidates by its first metric; None for fewer than two."""
    metric = next(iter(model.fidelity), None)
    if metric is None:
        return None
    marks = [
        Mark(
            str(candidate["name"]), float(candidate["milliseconds"]), float(value), _kind(candidate)
        )
        for candidate in model.candidates
        if isinstance(value := candidate.get("fidelity", {metric: 1.0}).get(metric), float | int)
        and math.isfinite(value)
    ]
    return place(marks, metric) if len(marks) > 1 else None


def place(marks: Sequence[Mark], metric: str) -> Plot:
    """Lay out at least one mark; marks below the axis get its lower edge."""
    slowest = max(mark.milliseconds for mark in marks) or 1.0
    lowest = max(min(mark.fidelity for mark in marks), LOWEST)
    highest = max(max(mark.fidelity for mark in marks), lowest + 1e-6)

    def placed(mark: Mark) -> Mark:
        height = (max(mark.fidelity, lowest) - lowest) / (highest - lowest)
        x = LEFT + (RIGHT - LEFT) * mark.milliseconds / slowest
        y = BOTTOM - (BOTTOM - TOP) * height
        return Mark(mark.name, mark.milliseconds, mark.fidelity, mark.kind, x, y)

    all_marks = tuple(map(placed, marks))
    return Plot(metric, all_marks, front(all_marks), slowest, highest, lowest)


def front(marks: Sequence[Mark]) -> tuple[Mark, ...]:
    """Return the marks for which no other is both as fast and as close, the fastest first."""
    best: list[Mark] = []
    for mark in sorted(marks, key=lambda one: (one.milliseconds, -one.fidelity)):
        if not best or mark.fidelity > best[-1].fidelity:
            best.append(mark)
    return tuple(best)


def _kind(candidate: Mapping[str, Any]) -> Literal["float", "quantized", "searched"]:
    if "fidelity" not in candidate:
        return "float"
    return "searched" if candidate.get("searched") else "quantized"

"""The state of a search for an INT8 graph, in one line for the user."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from convert.quantize.search.float_layers import Trial
from convert.recipe import Tolerance


@dataclass(frozen=True, slots=True)
class SearchStatus:
    """The graphs that a search has measured, of its budget, and the best of them."""

    graphs: int  # measured
    budget: int  # graphs at most
    metric: str  # of the tolerance, such as "iou_mean 0.9871", of the best graph
    speedup: float  # of the best graph against float, by first estimates
    qualifies: bool  # whether it keeps the tolerance
    learning: str = ""  # what learning does, or did

    def __str__(self) -> str:
        """Return one line: counts, fidelity and speed of the best graph, and what was learned."""
        accurate = "" if self.qualifies else ", not accurate enough yet"
        return (
            f"candidate {self.graphs} of at most {self.budget}; best: {self.metric}, "
            f"{self.speedup:.1f} x the speed of float{accurate}"
            f"{f'; {self.learning}' if self.learning else ''}"
        )


def search_status(
    trials: Sequence[Trial],
    budget: int,
    tolerance: Tolerance,
    float_ms: float,
    learning: str = "",
) -> SearchStatus:
    """Describe the trials of a search; the best has the least loss.

    Args:
        trials: at least one.
        budget: graphs at most.
        tolerance: names the metric to show.
        float_ms: milliseconds of the float graph, measured like those of the trials.
        learning: what learning does, or did.
    """
    best = min(trials, key=lambda trial: (not trial.qualifies, trial.fidelity.loss))
    return SearchStatus(
        len(trials),
        max(budget, len(trials)),
        _metric(best.fidelity.metrics, tolerance),
        float_ms / best.measurement.milliseconds,
        best.qualifies,
        learning,
    )


def _metric(metrics: Mapping[str, float], tolerance: Tolerance) -> str:
    names = [name for name in (*tolerance.at_least, *tolerance.at_most) if name in metrics]
    name = next(iter(names or metrics))
    return f"{name} {metrics[name]:.4f}"

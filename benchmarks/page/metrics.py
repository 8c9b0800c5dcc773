"""The metrics that tables have room for; report.json has all of them."""

from collections.abc import Mapping

SHOWN = 3
HEADLINES = (  # in order; a model has those of its task
    *("iou_mean", "iou_p05", "mae"),
    *("cosine_mean", "cosine_p05", "pair_error"),
    *("top1_agreement", "regret", "probability_distance", "class_correlation"),
    *("box_recall", "sure_recall", "sure_precision", "sure_iou_mean", "score_correlation"),
)

Metrics = Mapping[str, float | None]


def headlines(metrics: Metrics) -> dict[str, float]:
    """Return the first metrics of a task that have a value, SHOWN at most."""
    values = {name: metrics.get(name) for name in HEADLINES}
    present = {name: value for name, value in values.items() if value is not None}
    return dict(list(present.items())[:SHOWN])


def cell(metrics: Metrics) -> str:
    """Return the headlines as the text of a table's cell."""
    text = ", ".join(f"{name} {value:.4f}" for name, value in headlines(metrics).items())
    return text or "nothing to compare"

"""Make the report's HTML page from the template page.html.jinja."""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from convert.commands.report.facts import Facts, VariantFacts
from convert.commands.report.pareto import plot_of

TEMPLATE = "page.html.jinja"
WARNINGS: Mapping[str, str] = {
    "seeded": "Untrained weights: the answers mean nothing.",
    "synthetic": "Trained on synthetic samples, never on people.",
}
MEANINGS: Mapping[str, str] = {
    "top1_agreement": "share of inputs with the same likeliest class",
    "probability_distance": "half the sum of absolute differences of probabilities, mean",
    "probability_distance_p95": "the same, 95th percentile",
    "regret": "reference's probability of its own class, minus that of the class answered, mean",
    "regret_upper": "the same is at most this, with 95 % certainty",
    "sure_agreement": "share with the same class, of inputs that the reference is sure of: its two "
    "likeliest classes are more than 0.2 apart",
    "sure_agreement_lower": "the same is at least this, with 95 % certainty",
    "confidence_shift": "change of the mean probability of the class answered",
    "class_correlation": "correlation of a class's probabilities over the inputs, worst class",
    "labelled_loss": "share of labelled media that float gets right and this variant does not, "
    "less those that only this variant gets right",
    "cosine_mean": "cosine between the two embeddings of an input, mean",
    "cosine_p05": "the same, 5th percentile",
    "pair_error": "absolute change of the similarity of two inputs, mean",
    "iou_mean": "intersection over union of the two masks, mean",
    "iou_p05": "the same, 5th percentile",
    "mae": "absolute difference of alpha, mean",
    "collapsed_fraction": "share of masks that no longer separate foreground from background",
    "box_recall": "share of the reference's boxes that are found in place, with a similar score",
    "box_iou_mean": "intersection over union of such a pair of boxes, mean",
    "box_iou_p05": "the same, 5th percentile",
    "score_difference": "absolute difference of their scores, mean",
    "sure_recall": "share of boxes that the reference is sure of (0.1 over the served threshold) "
    "that are served, of the same class, at an intersection over union of 0.75 or more",
    "sure_recall_lower": "the same is at least this, with 95 % certainty",
    "sure_precision": "share of boxes that this variant is sure of that the reference serves",
    "sure_precision_lower": "the same is at least this, with 95 % certainty",
    "sure_iou_mean": "intersection over union of the boxes found, mean",
    "score_shift": "mean change of the scores of the boxes found, whatever its sign",
    "score_correlation": "correlation of a class's scores over all places, worst class",
}
# not allowed in HTML, even escaped; tab and newline are
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def render(facts: Facts) -> str:
    """Return the page as HTML text; equal facts give equal text."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,  # class names, licences and addresses come from checkpoints
        undefined=jinja2.StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    html = environment.get_template(TEMPLATE).render(
        facts=facts,
        summary=_summary(facts),
        glossary=_glossary(facts),
        warnings=WARNINGS,
        megabytes=megabytes,
        milliseconds=milliseconds,
        plot_of=plot_of,
        variant_name=variant_name,
        batch_costs=batch_costs,
    )
    return html.lstrip()  # the lines between the macros


def megabytes(size_bytes: float) -> str:
    """Format a size with three digits, in megabytes of 1,000,000 bytes."""
    return f"{_three_digits(size_bytes / 1e6)} MB"


def milliseconds(value: float) -> str:
    """Format a time in milliseconds with three digits."""
    return f"{_three_digits(value)} ms"


def variant_name(variant: VariantFacts) -> str:
    """Return a variant's name with INT8 in capitals."""
    return variant.name.replace("int8", "INT8")


def batch_costs(variant: VariantFacts) -> list[tuple[str, float]]:
    """Return the time of a row in a batch, as a share of its time alone, by rows of the batch."""
    times_ms = variant.batch_milliseconds
    alone_ms = times_ms.get("1")
    if not alone_ms:
        return []
    return [(n, ms / int(n) / alone_ms) for n, ms in times_ms.items() if n != "1"]


def _three_digits(value: float) -> str:
    decimals = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{decimals}f}"


def _printable(value: Any) -> Any:
    """Replace characters that HTML does not allow; the markup of a macro has none left."""
    if isinstance(value, Markup):
        return value
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(value))


def _summary(facts: Facts) -> str:
    count = len(facts.models)
    if not count:
        return "No model has been packaged yet."
    origins = Counter(model.weights.origin for model in facts.models)
    weights = ", ".join(f"{number} {origin}" for origin, number in origins.most_common())
    int8 = sum(model.precision == "int8" for model in facts.models)
    models = "1 model" if count == 1 else f"{count} models"
    return f"{models}, {int8} served in INT8. Weights: {weights}."


def _glossary(facts: Facts) -> dict[str, str]:
    """Return the meaning of each metric that the report shows."""
    names = dict.fromkeys(name for model in facts.models for name in model.fidelity)
    return {name: MEANINGS[name] for name in names if name in MEANINGS}

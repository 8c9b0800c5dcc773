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
from convert.fidelity.meanings import MEANINGS, describe_bound, meanings_in

TEMPLATE = "page.html.jinja"
WARNINGS: Mapping[str, str] = {
    "seeded": "Untrained weights: the answers mean nothing.",
    "synthetic": "Trained on synthetic samples, never on people.",
}
# of the media of the yardstick, by the name in manifests
CHANGES: Mapping[str, str] = {
    "grey_level": "one grey level brighter",
    "jpeg": "as JPEG of quality 95",
    "noise": "with each sample one step of 16 bits up or down",
    "resampled": "resampled to another rate and back, in 16 bits",
}
# on INT8, by the name in manifests
VERDICTS: Mapping[str, str] = {
    "accepted": "INT8 is close enough.",
    "refused": "INT8 is refused; float serves.",
    "undecided": "INT8 is undecided; float serves.",
    "unjudged": "INT8 is not judged.",
    "untried": "INT8 was not tried.",
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
        describe_bound=describe_bound,
        change_names=CHANGES,
        verdicts=VERDICTS,
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
    names = dict.fromkeys(
        name
        for model in facts.models
        for fidelity in (model.fidelity, *(c.get("fidelity", {}) for c in model.candidates))
        for name in fidelity
    )
    terms = meanings_in(model.sureness for model in facts.models)
    return {**{name: MEANINGS[name] for name in names if name in MEANINGS}, **terms}

"""What serves beside the numbers of the row: the variants, and the scale of similarity."""

from collections.abc import Mapping
from typing import Any

from convert.commands.report.candidates import metrics
from convert.commands.report.facts import Measured, ModelFacts
from convert.commands.report.markup import foreign, listed, text
from convert.commands.report.plots import called, megabytes, milliseconds


def variants(model: ModelFacts) -> str:
    """Each packaged file and the CPUs it is for, then what became of weights in 7 bits."""
    told = [_variant(each) for each in model.variants]
    seven_bits = model.seven_bits
    left_out = bool(seven_bits) and not any(each.name == "int8-7bit" for each in model.variants)
    note = f'<p class="note">Weights in 7 bits: {foreign(seven_bits)}</p>' if left_out else ""
    lead = "<p>Variants, of which a machine takes the first that its CPU runs:</p>"
    return f"{lead}{listed(told)}{note}"


def similarity(model: ModelFacts) -> str:
    """From cosines to scores, and what the judged pairs get; nothing where there is no scale."""
    scale = model.similarity
    if scale is None:
        return ""
    knots = ", ".join(
        f"{cosine:.3f} to {score:.3f}"
        for cosine, score in zip(scale.cosines, scale.scores, strict=True)
    )
    kinds = [_kind(kind, found) for kind, found in model.pairs.items() if found["pairs"]]
    return (
        f"<p>Similarity: cosines become scores, {text(knots)}, linear between.</p>"
        f'{listed(kinds)}<p class="note">Fitted to the pairs {text(scale.pairs)}</p>'
    )


def _variant(one: Measured) -> str:
    cpus = ", ".join(one.cpu_features)
    machines = f"for CPUs with {cpus}" if cpus else "for any CPU"
    size, time = megabytes(one.size_bytes), milliseconds(one.milliseconds)
    return f"<strong>{text(called(one))}</strong>, {text(machines)}: {size}, {time}" + metrics(
        one.fidelity
    )


def _kind(kind: str, found: Mapping[str, Any]) -> str:
    low, high = float(found["score_min"]), float(found["score_max"])
    within = f"{float(found['within']):.0%} of {int(found['pairs'])} pairs as they should be"
    return text(f"{kind}: {low:.3f} to {high:.3f}, {within}")

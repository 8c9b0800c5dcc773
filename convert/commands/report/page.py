"""The report as one HTML page: no scripts, nothing from elsewhere, readable on a phone."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from convert.commands.report.candidates import metrics, section
from convert.commands.report.facts import Facts, Measured, ModelFacts, Refused, Unreadable
from convert.commands.report.markup import foreign, link, listed, text
from convert.commands.report.plots import size_bars, time_bars
from convert.commands.report.served import similarity, variants

STYLE = Path(__file__).with_name("style.css")
COLUMNS = (
    *("Model", "Weights", "Licence", "Parity", "Served as", "Fidelity", "Size", "Latency"),
    "Took",
)
ORIGINS: Mapping[str, tuple[str, str]] = {
    "pretrained": ("pretrained", ""),
    "seeded": ("seeded", "Untrained stand-ins: the answers mean nothing."),
    "synthetic": ("synthetic", "Learnt from drawings, never from people."),
}
MEANINGS: Mapping[str, str] = {
    "top1_agreement": "share of inputs with the same likeliest class",
    "probability_distance": "half the sum of differences between probabilities, mean",
    "probability_distance_p95": "the same, the worst twentieth begins here",
    "cosine_mean": "cosine between embeddings of the same input, mean",
    "cosine_p05": "the same, the worst twentieth begins here",
    "pair_error": "how far the similarity of two inputs moves, mean",
    "iou_mean": "overlap of the masks (intersection over union), mean",
    "iou_p05": "the same, the worst twentieth begins here",
    "mae": "difference of alpha, mean",
    "collapsed_fraction": "share of masks that no longer tell foreground apart",
    "box_recall": "share of boxes found again in place, with a like score",
    "box_iou_mean": "overlap of a box with the one found again, mean",
    "box_iou_p05": "the same, the worst twentieth begins here",
    "score_difference": "difference between their scores, mean",
}
SHOWN_LABELS = 40
# an escape that fails would still run nothing and fetch nothing
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def draw(facts: Facts) -> str:
    """The page; equal facts give equal text."""
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{text(POLICY)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            "<title>Slipway: conversion report</title>",
            f"<style>\n{STYLE.read_text(encoding='utf-8')}</style>\n</head>\n<body>\n<main>",
            f'<h1>Conversion report</h1>\n<p class="lead">{text(_summary(facts))}</p>',
            _refusals("Refused in the last run", facts.refused),
            _refusals("Cannot be read", facts.unreadable),
            _table(facts.models),
            _glossary(facts.models),
            "</main>\n</body>\n</html>\n",
        ]
    )


def _summary(facts: Facts) -> str:
    count = len(facts.models)
    if not count:
        return "No model has been packaged yet."
    origins = Counter(model.weights.origin for model in facts.models)
    weights = ", ".join(f"{number} {origin}" for origin, number in origins.most_common())
    int8 = sum(model.precision == "int8" for model in facts.models)
    models = "1 model" if count == 1 else f"{count} models"
    return f"{models}, {int8} served in INT8. Weights: {weights}."


def _refusals(title: str, models: Iterable[Refused | Unreadable]) -> str:
    items = [
        f"<strong>{text(each.id)}</strong>: {foreign(each.reason.removeprefix(f'{each.id}: '))}"
        for each in models
    ]
    if not items:
        return ""
    return f'<section class="refused">\n<h2>{text(title)}</h2>\n{listed(items)}\n</section>'


def _table(models: Iterable[ModelFacts]) -> str:
    # roles are said again: on a narrow screen rows become blocks, and blocks are no table to a
    # screen reader
    heads = "".join(f'<th scope="col" role="columnheader">{text(each)}</th>' for each in COLUMNS)
    bodies = "\n".join(_body(model) for model in models)
    if not bodies:
        return ""
    return (
        '<table role="table">\n<caption>The newest version of each model. Size and latency are of '
        "the float graph and of what serves; latency is the median of one input at one thread, on "
        "the machine that converted.</caption>\n"
        f'<thead role="rowgroup"><tr role="row">{heads}</tr></thead>\n{bodies}\n</table>'
    )


def _body(model: ModelFacts) -> str:
    first = (
        f'<th scope="row" role="rowheader"><span class="id">{text(model.id)}</span> '
        f'<span class="note version">version {model.version}</span>'
        f'<p class="note">{foreign(model.description)}</p></th>'
    )
    cells = (
        _weights(model),
        foreign(model.licence),
        f"{model.parity:.0e}",
        f"<strong>{text(model.precision.replace('int8', 'INT8'))}</strong>",
        _fidelity(model),
        size_bars(_variants(model)) + _ratio(_smaller(model)),
        time_bars(_variants(model)) + _ratio(_faster(model)),
        _duration(model),
    )
    rest = "".join(
        f'<td role="cell" data-label="{text(name)}">{cell}</td>'
        for name, cell in zip(COLUMNS[1:], cells, strict=True)
    )
    return (
        f'<tbody role="rowgroup">\n<tr role="row">{first}{rest}</tr>\n'
        f'<tr role="row" class="more"><td role="cell" colspan="{len(COLUMNS)}">{_more(model)}</td>'
        "</tr>\n</tbody>"
    )


def _weights(model: ModelFacts) -> str:
    name, warning = ORIGINS[model.weights.origin]
    note = f'<p class="warning">{text(warning)}</p>' if warning else ""
    source = f'<p class="note source">{link(model.weights.source)}</p>'
    return f'<span class="badge {text(name)}">{text(name)}</span>{note}{source}'


def _fidelity(model: ModelFacts) -> str:
    unjudged = '<p class="warning">Not judged: the weights are untrained.</p>'
    judged = "" if model.judged else unjudged
    inputs = f'<p class="note">{model.inputs} inputs, {text(model.inputs_source[:15])}</p>'
    return metrics(model.fidelity) + judged + inputs


def _variants(model: ModelFacts) -> tuple[Measured, ...]:
    return (model.before, *model.variants[:-1])


def _smaller(model: ModelFacts) -> str:
    if model.before == model.after or not model.before.size_bytes:
        return ""
    return f"{model.after.size_bytes / model.before.size_bytes:.2f} x the size"


def _faster(model: ModelFacts) -> str:
    if model.before == model.after or not model.after.milliseconds:
        return ""
    return f"{model.before.milliseconds / model.after.milliseconds:.2f} x as fast"


def _ratio(sentence: str) -> str:
    return f'<p class="ratio">{text(sentence)}</p>' if sentence else ""


def _duration(model: ModelFacts) -> str:
    if model.seconds is None:
        return '<span class="note took">not known</span>'
    day = (model.converted_at or "")[:10]
    return f'{model.seconds:.0f} s<p class="note took">{text(day)}</p>'


def _more(model: ModelFacts) -> str:
    shown = ", ".join(foreign(label) for label in model.labels[:SHOWN_LABELS])
    left = len(model.labels) - SHOWN_LABELS
    classes = f"<p>Classes: {shown}{f' and {left} more' if left > 0 else ''}</p>" if shown else ""
    facts = (
        f'<p class="note">{text(model.task)}; calibration: {text(model.calibration)}; '
        f"weights sha256 {text(model.weights.sha256)}; digest {text(model.digest)}</p>"
    )
    tried = len(model.candidates)
    summary = f"{tried} candidates tried" if tried else "Details; no candidate was tried"
    return (
        f'<p class="note">Choice: {foreign(model.reason)}</p>'
        f"<details><summary>{summary}<span class='sr'> for {text(model.id)}</span></summary>"
        f"{section(model)}{variants(model)}{similarity(model)}{classes}{facts}</details>"
    )


def _glossary(models: Iterable[ModelFacts]) -> str:
    measured = dict.fromkeys(name for model in models for name in model.fidelity)
    known = [(name, MEANINGS[name]) for name in measured if name in MEANINGS]
    if not known:
        return ""
    entries = "".join(f"<dt>{text(name)}</dt><dd>{text(said)}</dd>" for name, said in known)
    parity = (
        "<dt>Parity</dt><dd>largest difference between the outputs of the reference framework and "
        "of the float graph</dd>"
    )
    return f"<section>\n<h2>What was measured</h2>\n<dl>{parity}{entries}</dl>\n</section>"

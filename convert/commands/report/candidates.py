"""What was tried for one model, as a picture and as a table, and what stayed in float for it."""

import math
from collections.abc import Mapping
from typing import Any

from convert.commands.report.facts import ModelFacts
from convert.commands.report.markup import foreign, listed, text
from convert.commands.report.pareto import Point, draw_front
from convert.commands.report.plots import megabytes, milliseconds

COLUMNS = ("Candidate", "Latency", "Size", "Peak memory", "Fidelity to float", "Objections")
SHOWN_NODES = 12
NOTE = (
    "The graphs that the search went through have fidelity and latency as it saw them, in passing; "
    "the others are judged on inputs that the search did not see, and timed in turns. Peak memory "
    "is what a fresh process takes on top to load a graph and run it once."
)


def section(model: ModelFacts) -> str:
    """The plot, what is in float, and every candidate; nothing where none was tried."""
    if not model.candidates:
        return ""
    heads = "".join(f'<th scope="col" role="columnheader">{name}</th>' for name in COLUMNS)
    rows = "\n".join(_row(each) for each in model.candidates)
    return (
        f"{_front(model)}{_float_part(model)}"
        f'<p class="note">{NOTE}</p>'
        f'<table role="table" class="candidates"><thead role="rowgroup"><tr role="row">{heads}</tr>'
        f'</thead><tbody role="rowgroup">\n{rows}\n</tbody></table>'
    )


def metrics(fidelity: Mapping[str, Any]) -> str:
    """Names and values as a list."""
    return listed(
        f'<span class="metric">{text(name)}</span> <span class="value">{_number(value)}</span>'
        for name, value in fidelity.items()
    )


def _number(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float | int) else text(value)


def _front(model: ModelFacts) -> str:
    name = next(iter(model.fidelity), None)
    values = [each.get("fidelity", {name: 1.0}).get(name) for each in model.candidates]
    points = [
        Point(str(each["name"]), float(each["milliseconds"]), float(value), kind=_kind(each))
        for each, value in zip(model.candidates, values, strict=True)
        if isinstance(value, float | int) and math.isfinite(value)
    ]
    return draw_front(points, title=f"{name} by latency") if name and len(points) > 1 else ""


def _kind(tried: Mapping[str, Any]) -> str:
    if "fidelity" not in tried:
        return "float"
    return "searched" if tried.get("searched") else "quantized"


def _float_part(model: ModelFacts) -> str:
    nodes = model.float_nodes
    if model.precision != "int8":
        return ""
    if not nodes:
        return '<p class="note">In float is nothing but what follows the last layer.</p>'
    shown = ", ".join(foreign(node) for node in nodes[:SHOWN_NODES])
    more = f" and {len(nodes) - SHOWN_NODES} more" if len(nodes) > SHOWN_NODES else ""
    reason = model.float_reason
    because = f" With those in integers too: {foreign(reason)}." if reason else ""
    return f'<p class="note">Left in float: {shown}{more}.{because}</p>'


def _row(tried: Mapping[str, Any]) -> str:
    objections = [foreign(each) for each in tried.get("objections", ())]
    cells = (
        milliseconds(float(tried["milliseconds"])),
        megabytes(float(tried["size_bytes"])),
        megabytes(float(tried["peak_bytes"])) if "peak_bytes" in tried else "",
        metrics(tried["fidelity"]) if "fidelity" in tried else "",
        listed(objections) if objections else "none",
    )
    rest = "".join(
        f'<td role="cell" data-label="{name}">{cell}</td>'
        for name, cell in zip(COLUMNS[1:], cells, strict=True)
    )
    return f'<tr role="row"><th scope="row" role="rowheader">{text(tried["name"])}</th>{rest}</tr>'

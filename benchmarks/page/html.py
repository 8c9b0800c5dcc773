"""The report as one page: no scripts or styles from elsewhere, dark mode, legible on a phone."""

import re
from collections.abc import Iterator
from html import escape
from pathlib import Path

from benchmarks.children import PROJECT
from benchmarks.page.content import condition_lines, parts_of, warnings
from benchmarks.page.model import Figure, Json, Part, Table

STYLE = Path(__file__).with_name("style.css")
COLOURS = PROJECT / "serve" / "page" / "static" / "style.css"
_COLOURS_END = "* { box-sizing"


def render(report: Json) -> str:
    """Return the page of a report."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Json) -> Iterator[str]:
    parts = parts_of(report)
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield "<title>Slipway benchmark report</title>"
    yield f"<style>\n{colours()}{STYLE.read_text(encoding='utf-8')}</style>\n</head>\n<body>"
    yield "<main>\n<h1>Benchmark report</h1>"
    yield '<p class="lead">How Slipway\'s models run on one machine. MB are 10<sup>6</sup> bytes.'
    yield "Each plot is followed by the table of its figures.</p>"
    links = (
        f'<li><a href="#{_anchor(part.title)}">{escape(part.title)}</a></li>' for part in parts
    )
    yield f'<nav aria-label="Parts"><ul>{"".join(links)}</ul></nav>'
    for part in parts:
        yield from _part(part)
    yield "</main>\n</body>\n</html>"


def colours() -> str:
    """Return the variables of the server's page, light and dark: every page has the same look."""
    return COLOURS.read_text(encoding="utf-8").partition(_COLOURS_END)[0]


def _part(part: Part) -> Iterator[str]:
    yield f'<section aria-labelledby="{_anchor(part.title)}">'
    yield f'<h2 id="{_anchor(part.title)}">{escape(part.title)}</h2>'
    yield from (f'<p class="refused">{escape(text)}</p>' for text in warnings(part.conditions))
    yield from (f'<p class="note">{escape(line)}</p>' for line in condition_lines(part.conditions))
    if part.notes:
        items = "".join(f"<li>{_with_code(one)}</li>" for one in part.notes)
        yield f'<ul class="notes">{items}</ul>'
    for item in part.content:
        yield from _figure(item) if isinstance(item, Figure) else _table(item)
    yield "</section>"


def _figure(figure: Figure) -> Iterator[str]:
    yield f"<h3>{escape(figure.title)}</h3>"
    yield f'<p class="note">{_with_code(figure.note)}</p>' if figure.note else ""
    yield '<div class="plots">'
    yield from (f'<div class="card">{plot}</div>' for plot in figure.plots)
    yield "</div>"


def _table(table: Table) -> Iterator[str]:
    title = escape(table.title)
    yield f"<details{' open' * table.is_open}><summary>Table: {title}</summary>"
    yield f'<p class="note">{_with_code(table.note)}</p>' if table.note else ""
    yield f'<div class="wide" tabindex="0" role="region" aria-label="Table: {title}">'
    yield f'<table><caption class="sr">{title}</caption>'
    heads = "".join(f'<th scope="col">{escape(one)}</th>' for one in table.headings)
    yield f"<thead><tr>{heads}</tr></thead><tbody>"
    for name, *cells in table.rows:
        columns = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        yield f'<tr><th scope="row">{escape(name)}</th>{columns}</tr>'
    yield "</tbody></table></div></details>"


def _with_code(text: str) -> str:
    """Escape a text, and mark up its words in backticks."""
    return re.sub("`([^`]*)`", r"<code>\1</code>", escape(text))


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")

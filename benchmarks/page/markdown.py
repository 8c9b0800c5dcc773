"""The report as Markdown."""

from collections.abc import Iterator, Sequence

from benchmarks.page.content import condition_lines, parts_of, warnings
from benchmarks.page.model import Json, Table


def render(report: Json) -> str:
    """Return every table of a report, by part."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Json) -> Iterator[str]:
    yield "# Benchmark report"
    yield ""
    yield "Written from `report.json` by `python -m benchmarks.page`. MB are 10^6 bytes."
    for part in parts_of(report):
        yield from ("", f"## {part.title}", "")
        yield from (f"**{warning}**\n" for warning in warnings(part.conditions))
        yield "\n".join(condition_lines(part.conditions))
        yield from (f"\n- {note}" for note in part.notes)
        for table in part.content:
            if isinstance(table, Table):
                yield from ("", f"### {table.title}", "")
                yield from (table.note, "") if table.note else ()
                yield from _table(table)


def _table(table: Table) -> Iterator[str]:
    yield _row(table.headings)
    yield "|---" * len(table.headings) + "|"
    yield from (_row(row) for row in table.rows)


def _row(cells: Sequence[str]) -> str:
    one_line = (" ".join(cell.replace("|", "/").split()) for cell in cells)
    return f"| {' | '.join(one_line)} |"

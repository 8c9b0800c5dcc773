"""The part of the report about the server under limits of memory and CPUs."""

from collections.abc import Iterator, Sequence

from benchmarks.page.model import Figure, Json, Part, Table, short, three_digits
from benchmarks.page.svg import Bar, bars


def part(report: Json) -> Part:
    """Return the part of a report that has a section "limits"."""
    section = report["limits"]
    notes = section.get("notes", ())
    return Part("Under real limits", section["conditions"], tuple(_content(section)), notes)


def _content(section: Json) -> Iterator[Table | Figure]:
    plots = list(_plots(section["rows"]))
    if plots:
        note = "Median ms of a request, by CPUs of the cgroup."
        yield Figure("Latency under limits", plots, note)
    yield _table(section["rows"])


def _plots(rows: Sequence[Json]) -> Iterator[str]:
    for group in dict.fromkeys((_name(row), row["memory_mib"]) for row in rows):
        measured = [
            Bar(f"{row['cpus']:g} CPU", 0.0, row["p50_ms"], f"{row['p50_ms']:.0f} ms", "quantized")
            for row in rows
            if (_name(row), row["memory_mib"]) == group and row["p50_ms"] is not None
        ]
        if measured:
            yield bars(f"{group[0]}, {group[1]} MiB", measured)


def _name(row: Json) -> str:
    models = row["models"]
    return short(models[0]) if len(models) == 1 else f"{len(models)} models"


def _table(rows: Sequence[Json]) -> Table:
    cells = [
        (
            _name(row),
            f"{row['memory_mib']}",
            f"{row['cpus']:g}",
            str(row["clients"]),
            row["outcome"],
            *(three_digits(row[key]) for key in ("ready_seconds", "memory_mb", "peak_mb")),
            *(three_digits(row[key]) for key in ("requests_per_second", "p50_ms", "p99_ms")),
            f"{row['answered']} / {row['refused']}",
            row["detail"],
        )
        for row in rows
    ]
    headings = (
        *("models", "MiB", "CPUs", "clients", "outcome", "ready s", "MB", "peak MB"),
        *("answers/s", "p50 ms", "p99 ms", "answered / refused", "note"),
    )
    note = (
        "In a cgroup with these limits. MB: what the kernel cannot drop, after the requests; peak "
        "MB: the most of it."
    )
    return Table("Limits", headings, cells, note)

"""The part of the report about the frameworks that the models come from."""

from collections.abc import Iterator, Sequence

from benchmarks.page.model import Figure, Json, Part, Table, three_digits
from benchmarks.page.svg import Bar, bars

OWN = "slipway"


def part(report: Json) -> Part:
    """Return the part of a report that has a section "originals"."""
    section = report["originals"]
    return Part("Originals", section["conditions"], tuple(_content(section)))


def _content(section: Json) -> Iterator[Table | Figure]:
    rows = [row for row in section["rows"] if row["memory_mb"] is not None and row["threads"] == 1]
    names = [f"{row['model']}, {row['engine']}" for row in rows]
    memory = [
        Bar(name, 0.0, row["memory_mb"], f"{row['memory_mb']:.0f} MB", "original")
        for name, row in zip(names, rows, strict=True)
    ]
    starts = [
        Bar(name, 0.0, seconds, f"{seconds:.1f} s", "original")
        for name, row in zip(names, rows, strict=True)
        if (seconds := (row["import_seconds"] or 0.0) + (row["load_seconds"] or 0.0))
    ]
    if rows:
        plots = [bars("Resident memory", memory), bars("Import, load, first answer", starts)]
        yield Figure("Memory and start of the originals", plots)
    yield _table(section)


def _table(section: Json) -> Table:
    rows = []
    for number, row in enumerate(section["rows"]):
        spread = row["latency"]
        packaged = _packaged_ms(section["rows"][number:])
        ratio = spread["median_ms"] / packaged if spread and packaged else None
        rows.append(
            (
                row["model"],
                f"{row['engine']} {row['version']}".strip(),
                str(row["threads"]),
                three_digits(spread and spread["median_ms"]),
                three_digits(spread and spread["p95_ms"]),
                three_digits(ratio),
                *(three_digits(row[key]) for key in ("import_seconds", "load_seconds")),
                three_digits(row["compile_seconds"]),
                three_digits(row["memory_mb"]),
                "-" if row["golden_cosine"] is None else f"{row['golden_cosine']:.4f}",
                row["error"] or "",
            )
        )
    headings = (
        *("model", "engine", "threads", "ms", "p95 ms", "x served", "import s", "first answer s"),
        *("compile s", "MB", "cosine", "note"),
    )
    sizes = ", ".join(f"{name} {mb:.0f} MB" for name, mb in section["installed_mb"].items())
    note = (
        f"The same golden inputs. Installed with all that it needs: {sizes}. x served: the "
        "original's median over that of the packaged graph (slipway), in turns in one process. "
        "First answer: from the weights, after the import. Cosine: the lowest to the golden "
        "outputs, which shows that the same model ran."
    )
    return Table("Originals", headings, rows, note)


def _packaged_ms(rows: Sequence[Json]) -> float | None:
    """Return the median of the packaged graph that took turns with the first row: the next one."""
    first = rows[0]
    for row in rows:
        if (row["model"], row["threads"]) != (first["model"], first["threads"]):
            break
        if row["engine"] == OWN:
            return float(row["latency"]["median_ms"])
    return None

"""The part of the report about other servers and engines."""

from collections.abc import Iterator, Sequence

from benchmarks.page.metrics import cell
from benchmarks.page.model import Figure, Json, Part, Table, short, three_digits
from benchmarks.page.svg import Bar, bars

OWN = "slipway"
LIMIT = "Bare HTTP"  # no server to use
MORE = f"CPU ms more than {LIMIT}"


def part(report: Json) -> Part:
    """Return the part of a report that has a section "peers"."""
    section = report["peers"]
    notes = section.get("notes", ())
    return Part("Peers", section["conditions"], tuple(_content(section)), notes)


def _content(section: Json) -> Iterator[Table | Figure]:
    if section["servers"]:
        yield from _verdicts(section.get("verdicts", ()))
        yield Figure("Servers: answers per second", list(_plots(section["servers"])))
        yield _servers(section)
        yield from _shares(section.get("shares", ()), section["servers"])
    if section["engines"]:
        yield _engines(section["engines"])


def _plots(rows: Sequence[Json]) -> Iterator[str]:
    loads = dict.fromkeys((row["model"], row["concurrency"]) for row in rows)
    for model, concurrency in loads:
        ones = [
            row
            for row in rows
            if (row["model"], row["concurrency"]) == (model, concurrency)
            and row["requests_per_second"] is not None
        ]
        ranked = sorted(ones, key=lambda row: -row["requests_per_second"])
        if ranked:
            plural = "s" * (concurrency > 1)
            yield bars(f"{model}, {concurrency} client{plural}", [_bar(row) for row in ranked])


def _bar(row: Json) -> Bar:
    rate = row["requests_per_second"]
    low, high = row["requests_per_second_minimum"], row["requests_per_second_maximum"]
    whisker = None if low is None or high is None else (low, high)
    kind = "quantized" if row["peer"].lower().startswith(OWN) else "peer"
    kind = "float" if row["peer"].startswith(LIMIT) else kind
    return Bar(row["peer"], 0.0, rate, f"{three_digits(rate)}/s", kind, whisker)


def _verdicts(rows: Sequence[Json]) -> Iterator[Table]:
    """Yield who is faster than our servers, a row for each peer and number of clients."""
    if not rows:
        return
    owns = list(dict.fromkeys(row["own"] for row in rows))
    pairs = dict.fromkeys((row["model"], row["concurrency"], row["peer"]) for row in rows)
    by_place = {(row["model"], row["concurrency"], row["peer"], row["own"]): row for row in rows}
    cells = []
    for pair in pairs:
        ones = [by_place.get((*pair, own)) for own in owns]
        cells.append((short(pair[0]), str(pair[1]), pair[2], *map(_verdict, ones)))
    headings = ("model", "clients", "peer", *(f"x {own}" for own in owns))
    note = (
        "Answers of the peer over ours, round by round: the median, the lowest and the highest. "
        "Faster: in every round. Our server with as many workers as the peers have is the one to "
        "compare; by default it has one."
    )
    yield Table("Peers against Slipway", headings, cells, note, is_open=True)


def _verdict(row: Json | None) -> str:
    if row is None:
        return "-"
    spread = _spread(*(row[key] for key in ("ratio", "ratio_minimum", "ratio_maximum")))
    word = row["verdict"].upper() if row["verdict"] == "faster" else row["verdict"]
    return f"{spread}: {word}"


def _shares(rows: Sequence[Json], servers: Sequence[Json]) -> Iterator[Table]:
    """Yield what share of the limits each server reaches."""
    if not rows:
        return
    limits = list(dict.fromkeys(row["limit"] for row in rows))
    pairs = dict.fromkeys((row["model"], row["concurrency"], row["peer"]) for row in rows)
    by_place = {(row["model"], row["concurrency"], row["peer"], row["limit"]): row for row in rows}
    cells = []
    for pair in pairs:
        ones = [by_place.get((*pair, limit)) for limit in limits]
        texts = [
            "-"
            if one is None
            else _spread(one["share"], one["share_minimum"], one["share_maximum"])
            for one in ones
        ]
        more = three_digits(_more_cpu_ms(pair, servers))
        cells.append((short(pair[0]), str(pair[1]), pair[2], *texts, more))
    headings = ("model", "clients", "server", *(f"of {limit}" for limit in limits), MORE)
    note = (
        "Answers over those of a limit, round by round: the median, the lowest and the highest. "
        "The bare loop decodes, preprocesses and runs in a thread per CPU, has the CPUs for "
        "itself, and moves no byte; for u2netp it ends at the mask, without a cut-out. Bare HTTP "
        "is the smallest server of the same answers, under the same load: what it lacks to the "
        "bare loop is what HTTP, JSON and the load generator cost; what a server lacks to it, and "
        "the CPU time that it takes more, is that server's own."
    )
    yield Table("Shares of the limits", headings, cells, note, is_open=True)


def _more_cpu_ms(pair: tuple[str, int, str], servers: Sequence[Json]) -> float | None:
    """Return the CPU ms of a request that a server takes more than bare HTTP does."""
    model, clients, peer = pair
    ones = [one for one in servers if (one["model"], one["concurrency"]) == (model, clients)]
    cpu_s = {one["peer"]: one["cpu_seconds_per_request"] for one in ones}
    limit = next((s for name, s in cpu_s.items() if name.startswith(LIMIT) and s), None)
    own = cpu_s.get(peer)
    return None if limit is None or own is None else (own - limit) * 1000


def _spread(median: float, low: float, high: float) -> str:
    return f"{median:.2f} ({low:.2f} to {high:.2f})"


def _servers(section: Json) -> Table:
    rows = [
        (
            row["model"],
            f"{row['peer']} {row['version']}",
            str(row["concurrency"]),
            _rate(row),
            *(three_digits(row[key]) for key in ("p50_ms", "p95_ms", "p99_ms")),
            three_digits(_scaled(row["cpu_seconds_per_request"], 1000)),
            *(three_digits(row[key]) for key in ("memory_mb", "cold_start_seconds")),
            three_digits(row["installed_mb"]),
            row["error"] or ("yes: " if row["verified"] else "NO: ") + row["answer"],
            ", ".join(f"{key}={value}" for key, value in row["settings"].items()),
        )
        for row in section["servers"]
    ]
    headings = (
        *("model", "server", "clients", "answers/s", "p50 ms", "p95 ms", "p99 ms", "CPU ms"),
        *("MB", "cold start s", "installed MB", "answer verified", "settings"),
    )
    bare = ", ".join(
        f"{row['model']} {three_digits(row['requests_per_second'])}/s with {row['threads']} threads"
        for row in section.get("bare_loop", ())
    )
    note = "The same model file and input; in turns. In brackets the slowest and fastest turn."
    if bare:
        note += f" The bare loop, without HTTP: {bare}."
    return Table("Servers", headings, rows, note)


def _rate(row: Json) -> str:
    low, high = row["requests_per_second_minimum"], row["requests_per_second_maximum"]
    text = three_digits(row["requests_per_second"])
    return text if low is None else f"{text} ({three_digits(low)} to {three_digits(high)})"


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _engines(rows: Sequence[Json]) -> Table:
    cells = [
        (
            row["model"],
            f"{row['engine']} {row['version']}".strip() + f", {row['precision']}",
            str(row["threads"]),
            three_digits(row["latency"] and row["latency"]["median_ms"]),
            three_digits(row["times_ours"]),
            cell(row["fidelity"]) if row["latency"] else "-",
            "-" if row["golden_cosine"] is None else f"{row['golden_cosine']:.4f}",
            *(three_digits(row[key]) for key in ("size_mb", "memory_mb", "installed_mb")),
            row["error"] or "",
        )
        for row in rows
    ]
    headings = (
        *("model", "engine", "threads", "ms", "x ours", "fidelity", "golden cosine"),
        *("model MB", "memory MB", "installed MB", "note"),
    )
    note = (
        "x ours: above 1 the engine is faster than the graph that Slipway serves, in one run. "
        "The precision of OpenVINO's float is its own choice. "
        "Fidelity: against the float graph, on media that no calibration saw. Golden cosine: "
        "against the original framework, the lowest of all outputs of the golden samples. Memory: "
        "of a process that has loaded the graph and run it, RSS; ours has the decoders of images "
        "as well. Installed: all packages, for OpenVINO with NNCF."
    )
    return Table("Engines", headings, cells, note)

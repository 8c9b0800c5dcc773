"""The plots of what `make bench` measures; other sections add their engines to them."""

from collections.abc import Iterator, Sequence

from benchmarks.page.metrics import headlines
from benchmarks.page.model import (
    Figure,
    Json,
    latency,
    served,
    short,
    three_digits,
    variant_name,
)
from benchmarks.page.svg import (
    Bar,
    Dot,
    Line,
    area,
    bars,
    decades,
    dots,
    linear,
    lines,
    logarithmic,
)

THREADS = 1
OWN = "slipway"  # measured again beside the originals and the engines
PACKAGES_SHOWN = 4
GOLDEN = "golden cosine"
FIDELITY_RANGE = 0.002  # of the vertical axis, at least
LOWEST_FIDELITY = 0.8  # worse points are drawn at the lower edge


def latencies(report: Json) -> Figure:
    """Return a plot for each model: the original, other engines, float and what is served."""
    plots = [
        bars(model["id"], list(_engines(report, model))) for model in report["suite"]["models"]
    ]
    note = "ms of one input, 1 thread: medians, lines from the fastest run to the 95th percentile."
    return Figure("Latency per engine", plots, note)


def _engines(report: Json, model: Json) -> Iterator[Bar]:
    for row in _originals(report, model["id"]):
        yield _latency_bar(row["engine"], row["latency"], "original")
    for variant in reversed(model["variants"]):
        spread = latency(variant, THREADS)
        if spread is not None:
            name = f"Slipway {variant_name(variant['name'])}{' *' * variant['served']}"
            yield _latency_bar(name, spread, "quantized" if variant["served"] else "float")
    for row in _others(report, model["id"]):
        if row["latency"]:
            yield _latency_bar(f"{row['engine']} {row['precision']}", row["latency"], "peer")


def of_model(report: Json, section: str, key: str, model: str) -> list[Json]:
    """Return the rows of a section that are of one model; none if the section is absent."""
    return [row for row in report.get(section, {}).get(key, ()) if row["model"] == model]


def _others(report: Json, model: str) -> list[Json]:
    """Return the rows of other engines; not ours, which took turns with them."""
    rows = of_model(report, "peers", "engines", model)
    return [r for r in rows if r["threads"] == THREADS and not r["engine"].lower().startswith(OWN)]


def _originals(report: Json, model: str) -> list[Json]:
    rows = of_model(report, "originals", "rows", model)
    return [
        row for row in rows if row["threads"] == THREADS and row["latency"] and row["engine"] != OWN
    ]


def _latency_bar(name: str, spread: Json, kind: str) -> Bar:
    median = spread["median_ms"]
    whisker = (spread["minimum_ms"], spread["p95_ms"])
    return Bar(name, 0.0, median, f"{three_digits(median)} ms", kind, whisker)


def pareto(report: Json) -> Figure:
    """Return a plot for each model that has more than one point: fidelity against latency."""
    plots = []
    for model in report["suite"]["models"]:
        metric = next(iter(headlines(served(model)["fidelity"]["metrics"])), GOLDEN)
        points = list(_fidelities(report, model, metric))
        if len(points) > 1:
            x_axis = decades("ms, 1 thread, logarithmic", [dot.x for dot in points])
            lowest = min(dot.y for dot in points)
            low = min(lowest, 1 - FIDELITY_RANGE)  # no picture makes much of a difference of 0.0001
            y_axis = linear(metric, [low, *(dot.y for dot in points)], low=None)
            plots.append(dots(model["id"], x_axis, y_axis, points, front(points)))
    note = (
        "Upper left is best; the line joins the points that no other one beats. Measured on inputs "
        "that calibration did not see, 1 is the original; the original's own point is 1 by "
        f"definition. {GOLDEN}: of the golden samples, where the conversion's inputs say nothing. "
        f"Points below {LOWEST_FIDELITY} lie on the lower edge."
    )
    return Figure("Fidelity against latency", plots, note)


def _fidelities(report: Json, model: Json, metric: str) -> Iterator[Dot]:
    for row in _originals(report, model["id"]):
        yield Dot(row["engine"], row["latency"]["median_ms"], 1.0, "original")
    for variant in model["variants"]:
        spread, value = latency(variant, THREADS), _value(variant["fidelity"], metric)
        if spread is not None and value is not None:
            kind = "quantized" if variant["served"] else "float"
            yield _dot(f"Slipway {variant_name(variant['name'])}", spread, value, kind)
    for row in _others(report, model["id"]):
        value = _value({"metrics": row["fidelity"], **row}, metric)
        if row["latency"] and value is not None:
            yield _dot(f"{row['engine']} {row['precision']}", row["latency"], value, "peer")


def _value(fidelity: Json, metric: str) -> float | None:
    """Return a metric of a variant or of an engine, or the cosine of its golden samples."""
    value = fidelity["golden_cosine"] if metric == GOLDEN else fidelity["metrics"].get(metric)
    return None if value is None else float(value)


def _dot(name: str, spread: Json, value: float, kind: str) -> Dot:
    name = f"{name}: {three_digits(spread['median_ms'])} ms, {value:.4f}"
    return Dot(name, spread["median_ms"], max(value, LOWEST_FIDELITY), kind)


def front(points: Sequence[Dot]) -> list[Dot]:
    """Return the points for which no other is both as fast and as close, the fastest first."""
    best: list[Dot] = []
    for dot in sorted(points, key=lambda one: (one.x, -one.y)):
        if not best or dot.y > best[-1].y:
            best.append(dot)
    return best


def throughput(suite: Json) -> Figure:
    """Return the throughput and the latencies by the number of clients."""
    counts: dict[str, list[Json]] = {}
    for one in suite["http"]:
        counts.setdefault(one["model"], []).append(one)
    model, curve = max(counts.items(), key=lambda item: len(item[1]))
    others = [ones[0] for name, ones in counts.items() if name != model]
    plots = list(_curves(model, curve)) if len(curve) > 1 else []
    if others:
        rows = [_rate_bar(one) for one in others]
        plots.append(bars(f"Answers/s, {others[0]['clients']} clients", rows))
    note = "Lines up and down from a point reach to the slowest and the fastest turn."
    return Figure("Throughput against concurrency", plots, note)


def _curves(model: str, curve: Sequence[Json]) -> Iterator[str]:
    clients = logarithmic("clients", [one["clients"] for one in curve])
    rates = [_rate_line("server", "quantized", "server_per_s", curve)]
    if curve[0]["bare_per_s"] is not None:
        rates.append(_rate_line("bare loop, no HTTP", "float", "bare_per_s", curve))
    tops = [high for line in rates for _, high in line.ranges]
    yield lines(f"{model}: answers/s", clients, linear("answers/s", tops), rates)
    percentiles = [
        Line(name, kind, [(one["clients"], one[f"{name}_ms"]) for one in curve])
        for name, kind in (("p50", "quantized"), ("p95", "peer"), ("p99", "original"))
    ]
    highest = linear("ms", [one["p99_ms"] for one in curve])
    yield lines(f"{model}: latency", clients, highest, percentiles)


def _rate_line(name: str, kind: str, key: str, curve: Sequence[Json]) -> Line:
    return Line(
        name,
        kind,
        [(one["clients"], one[key]["median"]) for one in curve],
        [(one[key]["minimum"], one[key]["maximum"]) for one in curve],
    )


def _rate_bar(one: Json) -> Bar:
    rate = one["server_per_s"]
    text = f"{three_digits(rate['median'])}/s"
    whisker = (rate["minimum"], rate["maximum"])
    return Bar(one["model"], 0.0, rate["median"], text, "quantized", whisker)


def memory(suite: Json) -> Figure:
    """Return the memory over time and of each model alone."""
    timeline, states = suite["memory"]["timeline"], suite["memory"]["states"]
    points = [(point["seconds"], point["anonymous_mb"]) for point in timeline["points"]]
    events = [(event["seconds"], event["name"]) for event in timeline["events"]]
    count = len(suite["models"])
    plots = [area(f"{count} models: anonymous memory over time", points, events, "MB")]
    names = {state["name"]: state for state in states}
    alone = [model["id"] for model in suite["models"] if f"{model['id']}, asked" in names]
    for key, title in (("ready", "Ready, each model alone"), ("asked", "Asked, each model alone")):
        rows = [_memory_bar(model, names[f"{model}, {key}"]) for model in alone]
        plots.append(bars(f"{title}: RSS", rows))
    sets = [_memory_bar(name, state) for name, state in names.items() if " models, " in name]
    plots.append(bars("Several models: RSS", sets))
    return Figure("Memory", plots, "MB of the server and its decoders.")


def _memory_bar(name: str, state: Json) -> Bar:
    return Bar(name, 0.0, state["rss_mb"], f"{state['rss_mb']:.0f} MB", "quantized")


def sizes(report: Json) -> Figure:
    """Return two waterfalls: what the image holds, and what quantization takes from the models."""
    suite = report["suite"]
    plots = [bars("What is deployed, MB", list(_deployed(suite)))]
    plots.append(bars("Model files, MB", list(_models(suite))))
    installed = report.get("originals", {}).get("installed_mb", {})
    if installed:
        total = sum(suite["packages_mb"].values())
        rows = [Bar(name, 0.0, mb, f"{mb:.0f}", "original") for name, mb in installed.items()]
        rows.append(Bar("Slipway", 0.0, total, f"{total:.0f}", "quantized"))
        plots.append(bars("Packages to answer with, MB", rows))
    return Figure("Size", plots, "Each bar begins where the one above it ends; the last is all.")


def _deployed(suite: Json) -> Iterator[Bar]:
    packages = sorted(suite["packages_mb"].items(), key=lambda item: -item[1])
    rest = sum(mb for _, mb in packages[PACKAGES_SHOWN:])
    models = sum(served(model)["size_mb"] for model in suite["models"])
    steps = [*packages[:PACKAGES_SHOWN], ("other packages", rest), ("models as served", models)]
    total = 0.0
    for name, mb in steps:
        yield Bar(name, total, total + mb, f"{mb:.0f}", "float")
        total += mb
    yield Bar("all", 0.0, total, f"{total:.0f}", "quantized")


def _models(suite: Json) -> Iterator[Bar]:
    total = 0.0
    for model in suite["models"]:
        total += _plain_mb(model)
    yield Bar("all in float", 0.0, total, f"{total:.0f}", "float")
    for model in suite["models"]:
        saved = _plain_mb(model) - served(model)["size_mb"]
        if saved > 0:
            yield Bar(short(model["id"]), total - saved, total, f"-{saved:.1f}", "saved")
            total -= saved
    yield Bar("all as served", 0.0, total, f"{total:.0f}", "quantized")


def _plain_mb(model: Json) -> float:
    plain = (v["size_mb"] for v in model["variants"] if v["precision"] == "float")
    return float(next(plain, served(model)["size_mb"]))

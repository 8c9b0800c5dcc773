"""The part of the report that `make bench` measures: its tables."""

from collections.abc import Iterator

from benchmarks.page.metrics import cell
from benchmarks.page.model import (
    Figure,
    Json,
    Part,
    Table,
    latency,
    percent,
    served,
    short,
    three_digits,
    variant_name,
)
from benchmarks.page.parts import goals, suite_plots
from benchmarks.pricing import EXAMPLE, cost_per_million, hours_per_million

THREADS = (1, 2)
SPREAD_NOTE = (
    "Medians of runs in turns after warm-up, in ms; in brackets the quartiles and the 95th "
    "percentile. x float: the float graph's median over this one's. *: the runtime picks it here."
)


def part(report: Json) -> Part:
    """Return the part of a report that has a section "suite"."""
    suite = report["suite"]
    return Part("Slipway", suite["conditions"], tuple(_content(report, suite)))


def _content(report: Json, suite: Json) -> Iterator[Table | Figure]:
    yield goals.table(report)
    yield checks_table(suite)
    yield suite_plots.latencies(report)
    yield latency_table(suite)
    yield suite_plots.pareto(report)
    yield fidelity_table(suite)
    yield suite_plots.throughput(suite)
    yield http_table(suite)
    yield costs_table(suite)
    yield suite_plots.memory(suite)
    yield memory_table(suite)
    yield suite_plots.sizes(report)
    yield sizes_table(suite)


def checks_table(suite: Json) -> Table:
    """Return the promised limits and what was measured."""
    rows = [
        (
            check["name"],
            f"{_number(check['value'], check['unit'])}",
            f"{check['limit']:g} {check['unit']}".strip(),
            "pass" if check["passed"] else "FAIL",
        )
        for check in suite["checks"]
    ]
    imports = suite["imports"]
    models = ", ".join(short(model) for model in suite["server"]["models"])
    note = (
        f"The server is one with {models}. `import serve.app, runtime` takes "
        f"{imports['seconds']:.2f} s."
    )
    return Table("Promises", ("promise", "measured", "limit", "verdict"), rows, note)


def latency_table(suite: Json) -> Table:
    """Return the latencies of every variant."""
    headings = ["model, variant", "weights"]
    for threads in THREADS:
        headings += [f"ms, {threads} thread{'s' * (threads > 1)}", "x float"]
    rows = [
        _latency_row(model, variant) for model in suite["models"] for variant in model["variants"]
    ]
    headings += ["file to result, ms", "load, ms"]
    return Table("Latency", headings, rows, SPREAD_NOTE)


def _latency_row(model: Json, variant: Json) -> list[str]:
    star = "*" if variant["served"] else ""
    row = [f"{model['id']} {variant_name(variant['name'])}{star}", model["weights"]]
    for threads in THREADS:
        timing = next((one for one in variant["timings"] if one["threads"] == threads), None)
        row += [_spread(latency(variant, threads)), _times(timing)]
    whole = (_spread(model["whole_path"]), three_digits(model["load_ms"]))
    return [*row, *(whole if variant["served"] else ("", ""))]


def _times(timing: Json | None) -> str:
    return "-" if timing is None else three_digits(timing["times_faster"])


def _spread(spread: Json | None) -> str:
    if spread is None:
        return "-"
    low, high, p95 = (three_digits(spread[name]) for name in ("p25_ms", "p75_ms", "p95_ms"))
    return f"{three_digits(spread['median_ms'])} ({low} to {high}; {p95})"


def fidelity_table(suite: Json) -> Table:
    """Return the fidelity of every variant."""
    rows = []
    for model in suite["models"]:
        for variant in model["variants"]:
            fidelity = variant["fidelity"]
            measures = cell(fidelity["metrics"])
            rows.append(
                (
                    f"{model['id']} {variant_name(variant['name'])}",
                    f"{fidelity['golden_cosine']:.4f}",
                    f"{fidelity['inputs']}, {fidelity['inputs_source']}",
                    measures,
                )
            )
    headings = ("model, variant", "golden cosine", "inputs", "measured by the conversion")
    note = (
        "Against the original framework. Golden cosine: measured on this machine, the lowest of "
        "all outputs of the golden samples. The rest comes from the manifest: inputs that "
        "calibration did not see; report.json has every metric."
    )
    return Table("Fidelity", headings, rows, note)


def http_table(suite: Json) -> Table:
    """Return throughput and latency over HTTP."""
    rows = [
        (
            one["model"],
            str(one["clients"]),
            _rate(one["server_per_s"]),
            _rate(one["bare_per_s"]),
            three_digits(one["ratio"]),
            *(three_digits(one[name]) for name in ("p50_ms", "p95_ms", "p99_ms")),
            three_digits(one["cpu_ms"]),
            three_digits(one["extra_cpu_ms"]),
        )
        for one in suite["http"]
    ]
    headings = (
        *("model", "clients", "answers/s", "bare loop/s", "ratio"),
        *("p50 ms", "p95 ms", "p99 ms", "CPU ms", "extra CPU ms"),
    )
    note = (
        "One process, the file as a raw body, no cache; in turns with a loop that decodes, "
        "preprocesses and runs the same file with a thread per CPU. The load generator shares the "
        "CPUs. In brackets the slowest and the fastest turn."
    )
    return Table("HTTP", headings, rows, note)


def _rate(rate: Json | None) -> str:
    if rate is None:
        return "-"
    low, high = three_digits(rate["minimum"]), three_digits(rate["maximum"])
    return f"{three_digits(rate['median'])} ({low} to {high})"


def costs_table(suite: Json) -> Table:
    """Return what a million requests of each model take, and what they cost at example prices."""
    memory_mb = {state["name"]: state["rss_mb"] for state in suite["memory"]["states"]}
    cpus = suite["conditions"]["machine"]["cpus"]
    busiest = {one["model"]: one for one in suite["http"]}  # of each the most clients
    rows = []
    for model, one in busiest.items():
        gigabytes = memory_mb.get(f"{model}, asked", 0.0) / 1000
        cpu_s = one["cpu_ms"] / 1000
        needs = hours_per_million(cpu_s, gigabytes, cpus=cpus, use=EXAMPLE.use)
        cost = cost_per_million(cpu_s, gigabytes, cpus=cpus, prices=EXAMPLE)
        cells = (three_digits(one["cpu_ms"]), f"{gigabytes * 1000:.0f}")
        hours = (three_digits(needs.cpu_hours), three_digits(needs.gigabyte_hours))
        rows.append((model, *cells, *hours, f"{cost:.2f}"))
    note = (
        "Cost of 10^6 requests = CPU hours x your price of a CPU hour + GB hours x your price of a "
        "GB hour. CPU hours = 10^6 x CPU seconds of a request / 3600 / share of the CPUs in use; "
        f"GB hours = CPU hours x GB of the server / CPUs. Here {cpus} CPUs, {EXAMPLE.use:.0%} of "
        f"them in use; the last column has {EXAMPLE.cpu_hour} for a CPU hour and "
        f"{EXAMPLE.gigabyte_hour} for a GB hour. For another use, memory or machine: `python -m "
        "benchmarks.pricing`."
    )
    headings = (
        *("model", "CPU ms per request", "MB of the server"),
        *("CPU hours of 10^6", "GB hours of 10^6", "cost, example prices"),
    )
    return Table("Cost", headings, rows, note, is_open=True)


def memory_table(suite: Json) -> Table:
    """Return the memory of the server by state."""
    rows = [
        (
            state["name"],
            *(f"{state[name]:.0f}" for name in ("anonymous_mb", "peak_mb", "pss_mb", "rss_mb")),
        )
        for state in suite["memory"]["states"]
    ]
    note = (
        "MB of the server and its decoders. Anonymous comes from no file. Peak: the most of it "
        "since the state before. PSS counts a shared page by its share, RSS all of it."
    )
    return Table("Memory by state", ("state", "anonymous", "peak", "PSS", "RSS"), rows, note)


def sizes_table(suite: Json) -> Table:
    """Return what is on disk."""
    packages = sorted(suite["packages_mb"].items(), key=lambda item: -item[1])
    rows = [(f"package {name}", "-", f"{size:.1f}", "-") for name, size in packages]
    for model in suite["models"]:
        plain = next((v for v in model["variants"] if v["precision"] == "float"), served(model))
        packaged = served(model)["size_mb"]
        share = percent(packaged / plain["size_mb"])
        rows.append((model["id"], f"{plain['size_mb']:.2f}", f"{packaged:.2f}", share))
    return Table("Size on disk", ("what", "float MB", "served MB", "share"), rows)


def _number(value: float, unit: str) -> str:
    return f"{value:.2f} s" if unit == "s" else f"{value:.0f} {unit}".strip()

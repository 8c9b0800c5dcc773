"""Render a report as text for a terminal."""

from collections.abc import Iterator

from benchmarks.latency import THREADS, ModelReport, Timing, VariantReport
from benchmarks.machine import Machine
from benchmarks.report import Check, Report
from benchmarks.server import Memory
from runtime.cli.table import align

NOTES = (
    "MB are 10^6 bytes. t: threads. ms: median / 95th percentile of runs of one sample; variants",
    "and threads take turns. x float: the float graph's median over this one's. *: picked by this",
    "CPU. Whole path: encoded file to result, that variant, one thread. Load: in a fresh process,",
    "files in the page cache. benchmarks/README.md explains every figure.",
)
HEADINGS = (
    "model", "weights", "variant", "MB", "runs",
    *(f"{heading} {threads}t" for threads in THREADS for heading in ("ms", "x float")),
    "whole path ms", "load ms",
)  # fmt: skip


def render(report: Report) -> str:
    """Return the whole report: machine, footprint with its limits, models."""
    checks = [("footprint", "measured", "limit", ""), *(_check(check) for check in report.checks)]
    variants = [HEADINGS, *(row for model in report.models for row in _model(model))]
    parts = (machine_lines(report.machine), align(checks), _server(report), align(variants), NOTES)
    text = "\n\n".join("\n".join(lines) for lines in parts)
    return f"{text}\nquick: few runs, not figures to quote" if report.quick else text


def milliseconds(value: float) -> str:
    """Format three significant digits without an exponent; whole numbers from 100 on."""
    decimals = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:.{decimals}f}"


def machine_lines(machine: Machine) -> list[str]:
    """Return the lines that describe the machine."""
    dot_products = ", ".join(machine.dot_products) or "none"
    allocator = ", ".join(f"{k}={v}" for k, v in machine.allocator.items())
    busy = ": BUSY, figures may be too high" if machine.busy else ""
    return [
        f"{machine.cpu}, {machine.cpus} CPUs, 8-bit dot products: {dot_products}",
        f"onnxruntime {machine.onnxruntime}, numpy {machine.numpy}, OpenCV {machine.opencv}, "
        f"Python {machine.python}" + (f", {allocator}" if allocator else ""),
        f"load average before the measurement: {machine.load_average:.2f}{busy}",
    ]


def _check(check: Check) -> tuple[str, str, str, str]:
    decimals = 2 if check.unit == "s" else 0
    value, limit = (f"{v:.{decimals}f} {check.unit}".strip() for v in (check.value, check.limit))
    return check.name, value, f"<= {limit}", "pass" if check.passed else "FAIL"


def _server(report: Report) -> list[str]:
    server, largest = report.server, sorted(report.packages_mb.items(), key=lambda item: -item[1])
    packages = ", ".join(f"{name} {size_mb:.0f}" for name, size_mb in largest[:3])
    rest_mb = sum(size_mb for _, size_mb in largest[3:])
    frameworks = ", ".join(report.imports.frameworks) or "none"
    moments = (
        ("memory of the server", "VmRSS MB", "VmHWM MB"),
        ("ready", *_memory(server.at_start)),
        (f"{len(report.models)} models used", *_memory(server.used)),
        (f"used by {server.clients} at once", *_memory(server.used_at_once)),
    )
    return [
        *align(moments),
        "",
        f"import serve.app, runtime: {report.imports.seconds:.2f} s, frameworks: {frameworks}",
        f"packages in MB: {packages}, the rest {rest_mb:.0f}",
    ]


def _memory(memory: Memory) -> tuple[str, str]:
    return f"{memory.resident_mb:.0f}", f"{memory.peak_mb:.0f}"


def _model(model: ModelReport) -> Iterator[tuple[str, ...]]:
    for number, variant in enumerate(model.variants):
        first = (f"{model.id}/{model.version}", model.weights) if number == 0 else ("", "")
        path = model.whole_path
        whole = f"{milliseconds(path.median_ms)} / {milliseconds(path.p95_ms)}"
        last = (whole, milliseconds(model.load_ms)) if variant.served else ("", "")
        yield (*first, *_variant(variant), *last)


def _variant(variant: VariantReport) -> tuple[str, ...]:
    name = f"{variant.name}{'*' if variant.served else ''}"
    runs = str(variant.timings[0].latency.runs)
    timings = [cell for threads in THREADS for cell in _timing(variant.at(threads))]
    return (name, f"{variant.size_mb:.2f}", runs, *timings)


def _timing(timing: Timing | None) -> tuple[str, str]:
    if timing is None:
        return "-", "-"
    latency = timing.latency
    times = f"{milliseconds(latency.median_ms)} / {milliseconds(latency.p95_ms)}"
    return times, "-" if timing.times_faster is None else f"{timing.times_faster:.2f}"

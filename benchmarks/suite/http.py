"""Measure the server over HTTP: throughput and latency by the number of clients."""

import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.server import Media, Server, serving
from benchmarks.serving.bare_loop import Work, run_bare_loop
from benchmarks.serving.compare import WARM_UP_S, cpu_seconds
from benchmarks.serving.load import Job, Load, run_load
from runtime.engine.resources import cpu_count
from runtime.tasks import defaults

CURVE_MODEL = defaults.SIMILARITY_MODEL
CURVE_CLIENTS = (1, 2, 4, 8, 16, 32)
CLIENTS = 8  # of the models without a curve
SETTINGS = {"SLIPWAY_CACHE": "none", "SLIPWAY_QUEUE_SECONDS": "60"}  # equal requests, none refused


@dataclass(frozen=True, slots=True)
class Effort:
    """Number and length of the turns."""

    turns: int
    seconds: float
    clients: Sequence[int] = CURVE_CLIENTS


@dataclass(frozen=True, slots=True)
class Rate:
    """Answers per second of several turns."""

    minimum: float
    median: float
    maximum: float
    turns: int


@dataclass(frozen=True, slots=True)
class HttpReport:
    """One model and number of clients; latencies are medians of the turns' percentiles."""

    model: str
    file_bytes: int
    workers: int
    clients: int
    server_per_s: Rate
    bare_per_s: Rate | None  # None: the loop was not measured beside it
    ratio: float | None  # server / bare loop, median of the turns
    p50_ms: float
    p95_ms: float
    p99_ms: float
    cpu_ms: float  # of the server per request
    extra_cpu_ms: float | None  # over the bare loop's


@dataclass(frozen=True, slots=True)
class Turn:
    """A load on the server, and the loop before it."""

    load: Load
    cpu_ms: float
    bare: Work | None


def measure_http(
    artifacts: Path, media: Media, effort: Effort, *, progress: Callable[[str], None]
) -> tuple[HttpReport, ...]:
    """Measure one model with growing numbers of clients beside the bare loop, the others with 8.

    Args:
        artifacts: the directory to serve.
        media: samples by model; each request sends the first one.
        effort: number and length of the turns.
        progress: called with a line before each model.

    Raises:
        BenchmarkError: the server does not start, or an answer is not 200.
    """
    curve = CURVE_MODEL if CURVE_MODEL in media else next(iter(media))
    order = [curve, *(model for model in media if model != curve)]
    with serving(artifacts, SETTINGS) as server, tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "request")
        reports: list[HttpReport] = []
        for model in order:
            progress(f"HTTP: {model}")
            file.write_bytes(media[model][0])
            loop = artifacts / model if model == curve else None
            counts = effort.clients if model == curve else (CLIENTS,)
            reports += _of_model(server, model, file, counts, effort, loop)
    return tuple(reports)


def _of_model(
    server: Server,
    model: str,
    file: Path,
    counts: Sequence[int],
    effort: Effort,
    loop: Path | None,
) -> Iterator[HttpReport]:
    """Yield a report for each number of clients, whose turns alternate."""
    url = f"http://127.0.0.1:{server.port}/v1/models/{model}"
    run_load(Job(url, str(file), max(counts), min(WARM_UP_S, effort.seconds)))
    turns: dict[int, list[Turn]] = {count: [] for count in counts}
    for _ in range(effort.turns):
        for count in counts:
            bare = None
            if loop is not None:
                bare = run_bare_loop(loop, file, threads=cpu_count(), seconds=effort.seconds)
            before_s = cpu_seconds(server.pid)
            load = run_load(Job(url, str(file), count, effort.seconds))
            cpu_ms = (cpu_seconds(server.pid) - before_s) / load.requests * 1000
            turns[count].append(Turn(load, cpu_ms, bare))
    for count in counts:
        yield summarize_turns(model, file.stat().st_size, count, turns[count])


def summarize_turns(model: str, file_bytes: int, clients: int, turns: Sequence[Turn]) -> HttpReport:
    """Return the report of at least one turn."""
    pairs = [(turn, turn.bare) for turn in turns if turn.bare is not None]
    return HttpReport(
        model=model,
        file_bytes=file_bytes,
        workers=1,
        clients=clients,
        server_per_s=_rate([turn.load.per_s for turn in turns]),
        bare_per_s=_rate([bare.per_s for _, bare in pairs]) if pairs else None,
        ratio=_median([turn.load.per_s / bare.per_s for turn, bare in pairs]),
        p50_ms=statistics.median(turn.load.p50_ms for turn in turns),
        p95_ms=statistics.median(turn.load.p95_ms for turn in turns),
        p99_ms=statistics.median(turn.load.p99_ms for turn in turns),
        cpu_ms=statistics.median(turn.cpu_ms for turn in turns),
        extra_cpu_ms=_median([turn.cpu_ms - bare.cpu_ms for turn, bare in pairs]),
    )


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def _rate(values: Sequence[float]) -> Rate:
    return Rate(min(values), statistics.median(values), max(values), len(values))

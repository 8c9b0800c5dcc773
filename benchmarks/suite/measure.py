"""Run all measurements and compare them with the limits that the project promises."""

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2

from benchmarks import timing
from benchmarks.footprint import Imports, measure_imports, package_sizes
from benchmarks.memory.states import DEMO, Timeline, measure_alone, measure_set, measure_timeline
from benchmarks.memory.states import sets as model_sets
from benchmarks.memory.watch import State
from benchmarks.schema.conditions import Conditions, begin
from benchmarks.server import Media, ServerReport, measure_server
from benchmarks.suite import http
from benchmarks.suite.http import HttpReport, measure_http
from benchmarks.suite.latency import SERVING_THREADS, ModelReport, measure_model
from runtime.artifact.golden import read_golden
from runtime.artifact.manifest import newest_versions, read_manifest
from runtime.engine.resources import cpu_count

PACKAGES_LIMIT_MB = 330.0
LISTENING_LIMIT_S = 1.0
READY_LIMIT_S = 2.0
RESIDENT_LIMIT_MB = 260.0


@dataclass(frozen=True, slots=True)
class Effort:
    """Number and duration of the runs of every part."""

    timing: timing.Effort
    http: http.Effort
    load_s: float  # of the servers whose memory is watched
    quick: bool


FULL = Effort(timing.FULL, http.Effort(turns=3, seconds=2.0), load_s=4.0, quick=False)
QUICK = Effort(
    timing.QUICK, http.Effort(turns=1, seconds=0.3, clients=(1, 4)), load_s=0.5, quick=True
)


@dataclass(frozen=True, slots=True)
class Check:
    """A promised limit and the measured value. MB are 10^6 bytes."""

    name: str
    value: float
    limit: float  # inclusive
    unit: str
    passed: bool


@dataclass(frozen=True, slots=True)
class MemoryReport:
    """The memory of servers with each model alone and with sets of them."""

    states: tuple[State, ...]
    timeline: Timeline


@dataclass(frozen=True, slots=True)
class Suite:
    """All measurements, as the section "suite" of a report holds them."""

    conditions: Conditions
    checks: tuple[Check, ...]
    imports: Imports
    packages_mb: Mapping[str, float]  # by package
    server: ServerReport
    models: tuple[ModelReport, ...]
    memory: MemoryReport
    http: tuple[HttpReport, ...]


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def measure(
    artifacts: Path, effort: Effort, *, progress: Callable[[str], None] = _to_stderr
) -> Suite:
    """Measure everything below an artifacts directory, the newest version of each model.

    Args:
        artifacts: the directory that `convert` wrote.
        effort: number and duration of the runs.
        progress: called with a line before each part.

    Raises:
        ArtifactError: there is no model, or one is invalid.
        BenchmarkError: a process failed.
    """
    start = begin()
    directories = newest_versions(artifacts)
    media = {name: golden_media(path) for name, path in directories.items()}
    cv2.setNumThreads(SERVING_THREADS)  # as the server does: it decodes an image in one thread
    progress("imports and packages")
    starts = effort.timing.process_starts
    imports, packages_mb = measure_imports(starts), package_sizes()
    progress("server")
    with _demo(artifacts, media) as (folder, some):
        server = measure_server(folder, some, process_starts=starts, clients=cpu_count())
    models = []
    for name, path in directories.items():
        progress(name)
        models.append(measure_model(path, effort.timing, cpus=cpu_count()))
    memory = _memory(artifacts, media, effort.load_s, progress)
    answers = measure_http(artifacts, media, effort.http, progress=progress)
    return Suite(
        conditions=start.end(quick=effort.quick),
        checks=compare(imports, packages_mb, server),
        imports=imports,
        packages_mb=packages_mb,
        server=server,
        models=tuple(models),
        memory=memory,
        http=answers,
    )


def compare(
    imports: Imports, packages_mb: Mapping[str, float], server: ServerReport
) -> tuple[Check, ...]:
    """Return the promised limits with the measured values."""
    limits = [
        ("frameworks that import loads", len(imports.frameworks), 0, ""),
        ("deployed packages on disk", sum(packages_mb.values()), PACKAGES_LIMIT_MB, "MB"),
        ("server listens after", server.listening_s, LISTENING_LIMIT_S, "s"),
        ("server ready after", server.ready_s, READY_LIMIT_S, "s"),
        ("VmRSS, every model used", server.used.resident_mb, RESIDENT_LIMIT_MB, "MB"),
    ]
    return tuple(
        Check(name, value, limit, unit, passed=value <= limit)
        for name, value, limit, unit in limits
    )


def _memory(
    artifacts: Path, media: Media, load_s: float, progress: Callable[[str], None]
) -> MemoryReport:
    progress("memory of each model alone")
    states = list(measure_alone(artifacts, media))
    for names in model_sets(list(media)):
        progress(f"memory of {len(names)} models")
        states += measure_set(artifacts, media, names, seconds=load_s)
    progress("memory over time")
    return MemoryReport(tuple(states), measure_timeline(artifacts, media, seconds=2 * load_s))


@contextmanager
def _demo(artifacts: Path, media: Media) -> Iterator[tuple[Path, Media]]:
    """Yield a directory of the models of the demo, for which the limits are; all if one lacks."""
    if not set(DEMO) <= media.keys():
        yield artifacts, media
        return
    with tempfile.TemporaryDirectory(prefix="slipway-demo-") as directory:
        for model in DEMO:
            Path(directory, model).symlink_to((artifacts / model).resolve())
        yield Path(directory), {model: media[model] for model in DEMO}


def golden_media(directory: Path) -> tuple[bytes, ...]:
    """Return the golden samples of a version as encoded files."""
    return read_golden(directory, read_manifest(directory), require_media=True).media

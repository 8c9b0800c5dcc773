"""Measure the time of a model: of its graphs, from a file to the result, and of loading it."""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import runtime
from benchmarks.children import run_python
from benchmarks.suite.fidelity import Fidelity, measure_fidelity
from benchmarks.timing import Effort, Run, Summary, interleaved
from runtime.artifact.golden import Golden, read_golden
from runtime.artifact.manifest import Manifest, Origin, Variant, read_manifest, verify_file
from runtime.engine.providers import CPU
from runtime.engine.resources import cpu_features
from runtime.engine.session import Session, SessionOptions
from runtime.model import choose_variant, is_for

THREADS = (1, 2)
SERVING_THREADS = 1  # the server's default: it runs requests in parallel instead
MEGABYTE = 1e6
LOADS = 3  # fresh processes that load a model
_LOAD = """
import sys, time, runtime
from runtime.engine.session import SessionOptions
start = time.perf_counter()
runtime.load(sys.argv[1], options=SessionOptions(threads=int(sys.argv[2])))
print((time.perf_counter() - start) * 1000)
"""


@dataclass(frozen=True, slots=True)
class Timing:
    """The latency of one graph at one number of threads."""

    threads: int
    latency: Summary  # of one sample
    times_faster: float | None  # median of the float graph over this one's; None without a float


@dataclass(frozen=True, slots=True)
class VariantReport:
    """The measurements of one packaged variant."""

    name: str
    precision: str
    served: bool  # the runtime picks this one on this CPU
    size_mb: float
    timings: tuple[Timing, ...]
    fidelity: Fidelity

    def at(self, threads: int) -> Timing | None:
        """Return the timing at a number of threads; None if it was not measured."""
        return next((timing for timing in self.timings if timing.threads == threads), None)


@dataclass(frozen=True, slots=True)
class ModelReport:
    """The measurements of one version of a model."""

    id: str
    version: int
    task: str
    weights: Origin
    variants: tuple[VariantReport, ...]  # best first, as packaged
    whole_path: Summary  # encoded file to result; served variant, SERVING_THREADS
    load_ms: float  # median; in a fresh process after its imports, files in the page cache

    @property
    def served(self) -> VariantReport:
        """Return the variant that the runtime picks on this CPU."""
        return next(variant for variant in self.variants if variant.served)


def measure_model(directory: Path, effort: Effort, *, cpus: int) -> ModelReport:
    """Measure one version directory.

    Args:
        directory: artifacts/<model>/<version>.
        effort: number and duration of the runs.
        cpus: CPUs of this machine; more threads would wait for each other and are not measured.

    Raises:
        ArtifactError: the artifact is invalid.
    """
    manifest = read_manifest(directory)
    golden = read_golden(directory, manifest, require_media=True)
    threads = [count for count in THREADS if count <= max(cpus, 1)]
    return ModelReport(
        id=manifest.id,
        version=manifest.version,
        task=manifest.spec.task,
        weights=manifest.weights.origin,
        variants=_variants(directory, manifest, golden, threads, effort),
        whole_path=_whole_path(directory, golden, effort),
        load_ms=_load_ms(directory, effort),
    )


def _variants(
    directory: Path, manifest: Manifest, golden: Golden, threads: Sequence[int], effort: Effort
) -> tuple[VariantReport, ...]:
    """Measure every variant for CPUs at every number of threads, all in one interleaved run."""
    served = choose_variant(manifest, cpu_features())
    variants = [variant for variant in manifest.variants if is_for(variant, CPU)]
    cases = [(variant, count) for variant in variants for count in threads]
    sessions = [_session(directory, variant, count) for variant, count in cases]
    runs = [_run(session, golden) for session in sessions]
    summaries = zip(cases, interleaved(runs, effort), strict=True)
    latencies = {(variant.name, count): summary for (variant, count), summary in summaries}
    loaded = {v.name: session for (v, _), session in zip(cases, sessions, strict=True)}
    return tuple(
        VariantReport(
            name=variant.name,
            precision=variant.precision,
            served=variant == served,
            size_mb=sum(file.size_bytes for file in variant.files) / MEGABYTE,
            timings=tuple(_timing(latencies, variant.name, count) for count in threads),
            fidelity=measure_fidelity(variant, loaded[variant.name], golden),
        )
        for variant in variants
    )


def _session(directory: Path, variant: Variant, threads: int) -> Session:
    paths = [verify_file(directory, file) for file in variant.files]
    return Session(paths[0], SessionOptions(threads=threads))


def _run(session: Session, golden: Golden) -> Run:
    feeds = [golden.feeds(number) for number in range(golden.count)]
    return lambda number: session.run(feeds[number % len(feeds)])


def _timing(latencies: Mapping[tuple[str, int], Summary], name: str, threads: int) -> Timing:
    latency, reference = latencies[name, threads], latencies.get(("float", threads))
    ratio = reference.median_ms / latency.median_ms if reference is not None else None
    return Timing(threads, latency, ratio)


def _whole_path(directory: Path, golden: Golden, effort: Effort) -> Summary:
    model = runtime.load(directory, options=SessionOptions(threads=SERVING_THREADS))
    runs: list[Run] = [lambda number: model.predict(golden.media[number % len(golden.media)])]
    return interleaved(runs, dataclasses.replace(effort, seconds=effort.seconds / 2))[0]


def _load_ms(directory: Path, effort: Effort) -> float:
    arguments = str(directory.resolve()), str(SERVING_THREADS)
    starts = min(effort.process_starts, LOADS)
    times = [float(run_python(_LOAD, *arguments)) for _ in range(starts)]
    return statistics.median(times)

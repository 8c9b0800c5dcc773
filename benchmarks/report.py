"""Run all measurements and compare them with the limits that the project promises."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import cv2

from benchmarks.footprint import Imports, measure_imports, package_sizes
from benchmarks.latency import SERVING_THREADS, ModelReport, measure_model
from benchmarks.machine import Machine, describe_machine
from benchmarks.server import ServerReport, measure_server
from benchmarks.timing import Effort
from runtime.artifact.golden import read_golden
from runtime.artifact.manifest import newest_versions, read_manifest

PACKAGES_LIMIT_MB = 330.0
READY_LIMIT_S = 2.0
RESIDENT_LIMIT_MB = 260.0


@dataclass(frozen=True, slots=True)
class Check:
    """A promised limit and the measured value. MB are 10^6 bytes."""

    name: str
    value: float
    limit: float  # inclusive
    unit: str

    @property
    def passed(self) -> bool:
        """Return True if the value does not exceed the limit."""
        return self.value <= self.limit


@dataclass(frozen=True, slots=True)
class Report:
    """All measurements, as `--json` writes them."""

    measured_at: str  # ISO 8601, UTC
    quick: bool  # few runs: to try it out, not figures to quote
    machine: Machine
    imports: Imports
    packages_mb: Mapping[str, float]  # by package
    server: ServerReport
    models: tuple[ModelReport, ...]

    @property
    def checks(self) -> tuple[Check, ...]:
        """Return the promised limits with the measured values."""
        packages_mb = sum(self.packages_mb.values())
        resident_mb = self.server.used.resident_mb
        return (
            Check("frameworks that import loads", len(self.imports.frameworks), 0, ""),
            Check("deployed packages on disk", packages_mb, PACKAGES_LIMIT_MB, "MB"),
            Check("server ready after", self.server.ready_s, READY_LIMIT_S, "s"),
            Check("VmRSS, every model used", resident_mb, RESIDENT_LIMIT_MB, "MB"),
        )


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def measure(
    artifacts: Path, effort: Effort, *, quick: bool, progress: Callable[[str], None] = _to_stderr
) -> Report:
    """Measure everything below an artifacts directory, the newest version of each model.

    Args:
        artifacts: the directory that `convert` wrote.
        effort: number and duration of the runs.
        quick: noted in the report.
        progress: called with a line before each part.

    Raises:
        ArtifactError: there is no model, or one is invalid.
        BenchmarkError: a process failed.
    """
    directories = newest_versions(artifacts)
    machine = describe_machine()
    cv2.setNumThreads(SERVING_THREADS)  # as the server does: it decodes an image in one thread
    progress("imports and packages")
    imports, packages_mb = measure_imports(effort.process_starts), package_sizes()
    progress("server")
    server = measure_server(
        artifacts,
        {name: _media(path) for name, path in directories.items()},
        process_starts=effort.process_starts,
        clients=machine.cpus,
    )
    models = []
    for name, path in directories.items():
        progress(name)
        models.append(measure_model(path, effort, cpus=machine.cpus))
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Report(now, quick, machine, imports, packages_mb, server, tuple(models))


def _media(directory: Path) -> tuple[bytes, ...]:
    return read_golden(directory, read_manifest(directory), require_media=True).media

"""The conditions of a measurement: the machine, the versions, and what else was running."""

import os
import platform
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.children import PROJECT
from benchmarks.machine import DOT_PRODUCTS, cpu_name
from runtime.engine.resources import cpu_count, cpu_features

PACKAGES = ("onnxruntime", "numpy", "opencv-python-headless", "starlette", "uvicorn", "httptools")
REPORT = "benchmarks/report"
OTHERS_LIMIT = 0.1  # share of the CPU time above which a machine is busy
LOAD_LIMIT = 0.25  # load average per CPU, where the CPU time of others is unknown
_STAT = Path("/proc/stat")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """The hardware and the kernel, without the name of the host."""

    cpu: str
    cpus: int  # number that this process may use
    cpu_flags: tuple[str, ...]
    dot_products: tuple[str, ...]  # flags of 8-bit dot products; without them INT8 gains little
    memory_mb: float
    system: str
    allocator: Mapping[str, str]  # the MALLOC_* variables that are set


@dataclass(frozen=True, slots=True)
class Git:
    """The state of the checkout that measured."""

    commit: str
    dirty: bool  # tracked files outside of the committed report differ from the commit


@dataclass(frozen=True, slots=True)
class LoadAverage:
    """The load average of one minute, before and after."""

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Conditions:
    """The machine, versions and load of a measurement."""

    measured_at: str
    seconds: float
    quick: bool
    busy: bool
    machine: MachineFacts
    versions: Mapping[str, str]
    git: Git | None
    load_average: LoadAverage
    others_cpu: float | None  # share of the CPU time that others took meanwhile; None: unknown


@dataclass(frozen=True, slots=True)
class Start:
    """The beginning of a measurement."""

    time_s: float
    load: float
    machine_s: tuple[float, float] | None  # CPU seconds of the machine: busy, all
    own_s: float  # of this process and its children that ended

    def end(self, *, quick: bool = False, packages: Sequence[str] = PACKAGES) -> Conditions:
        """Return the conditions of what was measured since.

        Args:
            quick: few runs, not figures to quote.
            packages: whose installed versions are noted; those of this environment.
        """
        others = self._others()
        load = LoadAverage(self.load, os.getloadavg()[0])
        cpus = cpu_count()
        busy = others > OTHERS_LIMIT if others is not None else load.start > LOAD_LIMIT * cpus
        return Conditions(
            measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=time.perf_counter() - self.time_s,
            quick=quick,
            busy=busy,
            machine=_machine(cpus),
            versions={"python": platform.python_version(), **_versions(packages)},
            git=_git(),
            load_average=load,
            others_cpu=others,
        )

    def _others(self) -> float | None:
        now = _machine_seconds()
        if now is None or self.machine_s is None or now[1] <= self.machine_s[1]:
            return None
        busy_s, all_s = (b - a for a, b in zip(self.machine_s, now, strict=True))
        return max(0.0, busy_s - (_own_seconds() - self.own_s)) / all_s


def begin() -> Start:
    """Note the time and the load before a measurement."""
    return Start(time.perf_counter(), os.getloadavg()[0], _machine_seconds(), _own_seconds())


def _machine_seconds() -> tuple[float, float] | None:
    """Return the CPU seconds since the boot that the machine was busy, and all of them."""
    try:
        fields = _STAT.read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]
    except OSError:
        return None
    ticks = [int(field) for field in fields]
    idle = ticks[3] + ticks[4]  # idle, and waiting for a disk
    return (sum(ticks) - idle) / _TICKS_PER_S, sum(ticks) / _TICKS_PER_S


def _own_seconds() -> float:
    return sum(os.times()[:4])


def _machine(cpus: int) -> MachineFacts:
    flags = cpu_features()
    return MachineFacts(
        cpu=cpu_name(),
        cpus=cpus,
        cpu_flags=tuple(sorted(flags)),
        dot_products=tuple(sorted(DOT_PRODUCTS & flags)),
        memory_mb=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e6,
        system=f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        allocator={k: v for k, v in sorted(os.environ.items()) if k.startswith("MALLOC_")},
    )


def _versions(packages: Sequence[str]) -> dict[str, str]:
    """Return the versions of the packages that are installed."""
    versions = {}
    for name in packages:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def _git() -> Git | None:
    commit = _run_git("rev-parse", "HEAD")
    if commit is None:
        return None
    changes = _run_git("status", "--porcelain", "--untracked-files=no", "--", f":!{REPORT}")
    return Git(commit, bool(changes))


def _run_git(*arguments: str) -> str | None:
    try:
        process = subprocess.run(
            ["git", *arguments], cwd=PROJECT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return process.stdout.strip()

"""Check the CPU, memory, disk and directory that a conversion would use."""

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from convert.commands.doctor.finding import Finding

GIB = 1 << 30
MEMORY_BYTES = 8 * GIB  # the default models convert within this
BUSY = 0.5  # load per CPU above which other programs distort the timings
SHOWN_FEATURES = ("avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "asimddp")
MEMINFO = Path("/proc/meminfo")
CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def check_cpu(features: frozenset[str], cpus: int, load: float) -> Iterator[Finding]:
    """Check that timings of this machine hold for the machines that will serve.

    Args:
        features: flags as the kernel names them; empty: unknown.
        cpus: number of CPUs that this process may use.
        load: runnable processes, mean of the last minute.
    """
    from convert.package.measure_variant import INT8_CPU_FEATURES

    flags = " ".join(flag for flag in SHOWN_FEATURES if flag in features)
    here = f"{cpus} usable, {flags or '?'}"
    if "sse2" in features and "avx" not in features:
        yield Finding("missing", "CPU", f"{here}; TensorFlow does not run without avx")
    elif features.isdisjoint(INT8_CPU_FEATURES):
        needed = ", ".join(INT8_CPU_FEATURES)
        yield Finding(
            "note",
            "CPU",
            f"{here}; none of {needed}: 8-bit products saturate and are slow here, so INT8 is "
            "measured worse than where it would serve. Convert on a CPU that has one",
        )
    else:
        yield Finding("ok", "CPU", f"{here}; INT8 is timed as it will serve")
    if load > BUSY * cpus:
        yield Finding(
            "note",
            "load",
            f"{load:.1f} on {cpus} CPUs: conversion takes longer, and it times INT8 against float "
            "to choose. Wait until the machine is quiet",
        )


def check_memory(available_bytes: int | None) -> Finding:
    """Check that the default models fit into memory."""
    if available_bytes is None:
        return Finding("note", "memory", "unknown; the default models need up to 8 GiB")
    here = f"{available_bytes / GIB:.1f} GiB available"
    if available_bytes < MEMORY_BYTES:
        advice = "the largest default models need up to 8; convert them one by one, or elsewhere"
        return Finding("note", "memory", f"{here}; {advice}")
    return Finding("ok", "memory", here)


def available_bytes(
    meminfo: Path = MEMINFO, limit_files: Sequence[Path] = CGROUP_LIMITS
) -> int | None:
    """Return the memory available: the kernel's estimate or the container's limit, the smaller."""
    lines = _read(meminfo).splitlines()
    available = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    limits = [_read(path).strip() for path in limit_files]
    return min([*available, *(int(limit) for limit in limits if limit.isdigit())], default=None)


def check_disk(directory: Path, needed_bytes: float) -> Finding:
    """Check that a conversion fits on the disk of a directory, which need not exist yet."""
    free = shutil.disk_usage(existing(directory)).free
    here = f"{free / 1e9:.1f} GB free for {directory}, about {needed_bytes / 1e9:.1f} GB needed"
    if free < needed_bytes:
        return Finding("missing", "disk", f"{here}; make room, or give --out DIR elsewhere")
    return Finding("ok", "disk", here)


def check_writable(out: Path) -> Finding:
    """Check that artifacts can be written."""
    parent = existing(out)
    if not parent.is_dir():
        return Finding("missing", "out", f"{parent} is a file; give --out DIR")
    for path in (parent, out / ".work"):
        if path.exists() and not os.access(path, os.W_OK | os.X_OK):
            advice = "change its owner, or give --out DIR elsewhere"
            return Finding("missing", "out", f"{path} cannot be written to; {advice}")
    return Finding("ok", "out", f"{out} can be written")


def existing(path: Path) -> Path:
    """Return the path, or the nearest directory above it that exists."""
    return next(parent for parent in (path, *path.absolute().parents) if parent.exists())


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""

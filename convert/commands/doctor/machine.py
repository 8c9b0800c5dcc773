"""The CPU, memory, disk and directory that a conversion would use."""

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from convert.commands.doctor.finding import Finding

GIB = 1 << 30
MEMORY_BYTES = 8 * GIB  # what the default models are made to fit into
BUSY = 0.5  # load per CPU from which timings are of the neighbours
SHOWN_FEATURES = ("avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "asimddp")
MEMINFO = Path("/proc/meminfo")
CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def cpu(features: frozenset[str], cpus: int, load: float) -> Iterator[Finding]:
    """Whether what is measured here holds where it will serve.

    Args:
        features: flags as the kernel names them; none: unknown.
        cpus: that this process may use.
        load: runnable processes, mean of the last minute.
    """
    from convert.package.measure_variant import INT8_CPU_FEATURES

    told = f"{cpus} usable, {' '.join(each for each in SHOWN_FEATURES if each in features) or '?'}"
    if "sse2" in features and "avx" not in features:
        yield Finding("missing", "CPU", f"{told}; TensorFlow does not run without avx")
    elif features.isdisjoint(INT8_CPU_FEATURES):
        wanted = ", ".join(INT8_CPU_FEATURES)
        yield Finding(
            "note",
            "CPU",
            f"{told}; none of {wanted}: 8-bit products saturate and are slow here, so INT8 is "
            "judged worse than where it would serve. Convert on a CPU that has one",
        )
    else:
        yield Finding("ok", "CPU", f"{told}; INT8 is timed as it will serve")
    if load > BUSY * cpus:
        yield Finding(
            "note",
            "load",
            f"{load:.1f} on {cpus} CPUs: conversion takes longer, and it times INT8 against float "
            "to choose. Wait until the machine is quiet",
        )


def memory(available_bytes: int | None) -> Finding:
    """Whether the default models fit."""
    if available_bytes is None:
        return Finding("note", "memory", "unknown; the default models need up to 8 GiB")
    told = f"{available_bytes / GIB:.1f} GiB available"
    if available_bytes < MEMORY_BYTES:
        advice = "the largest default models need up to 8; convert them one by one, or elsewhere"
        return Finding("note", "memory", f"{told}; {advice}")
    return Finding("ok", "memory", told)


def available_bytes(
    meminfo: Path = MEMINFO, limit_files: Sequence[Path] = CGROUP_LIMITS
) -> int | None:
    """Memory that can be had: the kernel's estimate, or the container's limit where less."""
    lines = _read(meminfo).splitlines()
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    limits = [_read(path).strip() for path in limit_files]
    return min([*found, *(int(limit) for limit in limits if limit.isdigit())], default=None)


def disk(directory: Path, needed_bytes: float) -> Finding:
    """Whether a conversion fits on the disk of a directory, which need not exist yet."""
    free = shutil.disk_usage(existing(directory)).free
    told = f"{free / 1e9:.1f} GB free for {directory}, about {needed_bytes / 1e9:.1f} GB needed"
    if free < needed_bytes:
        return Finding("missing", "disk", f"{told}; make room, or give --out DIR elsewhere")
    return Finding("ok", "disk", told)


def writable(out: Path) -> Finding:
    """Whether artifacts can be written."""
    place = existing(out)
    if not place.is_dir():
        return Finding("missing", "out", f"{place} is a file; give --out DIR")
    for path in (place, out / ".work"):
        if path.exists() and not os.access(path, os.W_OK | os.X_OK):
            advice = "change its owner, or give --out DIR elsewhere"
            return Finding("missing", "out", f"{path} cannot be written to; {advice}")
    return Finding("ok", "out", f"{out} can be written")


def existing(path: Path) -> Path:
    """The path, or the nearest directory above it that is there."""
    return next(each for each in (path, *path.absolute().parents) if each.exists())


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""

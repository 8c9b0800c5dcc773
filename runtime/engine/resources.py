"""CPUs and instruction sets of this process: the container's limits, not the host's."""

import os
from pathlib import Path

from runtime.engine.memory import CGROUP, memory_cgroup

CPUINFO = Path("/proc/cpuinfo")
STATUS = Path("/proc/self/status")


def cpu_count(cgroup: Path = CGROUP) -> int:
    """Return the number of CPUs that this process may use, at least 1.

    The result is the smaller of the affinity mask and the cgroup quota (v2 `cpu.max`, v1
    `cpu.cfs_*`), rounded down. The kernel throttles a thread beyond the quota, and every other
    thread waits for it.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = _cpu_quota(cgroup)
    allowed = min(affinity or 1, quota) if quota is not None else affinity or 1
    return max(1, int(allowed))


def cpu_features(cpuinfo: Path = CPUINFO) -> frozenset[str]:
    """Return the instruction sets by the Linux kernel's names ("avx512_vnni"); empty if unknown."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), ":")
    return frozenset(flags.partition(":")[2].split())


def memory_limit_mib(cgroup: Path = CGROUP) -> float | None:
    """Return the memory limit of the cgroup (v2 `memory.max`, v1) in MiB; None if there is none."""
    controller = memory_cgroup(cgroup)
    limit_bytes = controller.limit_bytes if controller else None
    return None if limit_bytes is None else limit_bytes / 2**20


def peak_memory_mib(status: Path = STATUS) -> float | None:
    """Return the most resident memory that this process has taken, in MiB; None if unknown."""
    try:
        lines = status.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    values = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return next((int(kilobytes) / 1024 for kilobytes in values), None)


def _cpu_quota(cgroup: Path) -> float | None:
    v2 = _words(cgroup / "cpu.max")
    if len(v2) == 2 and v2[0] != "max":
        return float(v2[0]) / float(v2[1])
    v1 = _words(cgroup / "cpu/cpu.cfs_quota_us"), _words(cgroup / "cpu/cpu.cfs_period_us")
    if all(v1) and float(v1[0][0]) > 0:
        return float(v1[0][0]) / float(v1[1][0])
    return None


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split()
    except OSError:
        return []

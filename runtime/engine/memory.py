"""Memory of the cgroup and of processes, as Linux tells it."""

import mmap
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
PROC = Path("/proc")
UNLIMITED_BYTES = 2**62  # v1 writes a number near 2^63 if there is no limit
_PAGE_BYTES = mmap.PAGESIZE
# what the kernel cannot drop under pressure: page cache fills any limit and is no sign of need
_V2_FIELDS = ("anon", "shmem", "kernel", "sock")
_V1_FIELDS = ("total_rss", "total_shmem")


@dataclass(frozen=True, slots=True)
class CgroupMemory:
    """The memory controller of the cgroup that this process is in."""

    version: int  # 1 or 2
    directories: tuple[Path, ...]  # its own, then those above it that limit it too

    @property
    def limit_bytes(self) -> int | None:
        """Return the smallest limit of the directories; None if there is none."""
        name = "memory.max" if self.version == 2 else "memory.limit_in_bytes"
        limits = [limit for path in self.directories if (limit := _integer(path / name))]
        return min((limit for limit in limits if limit < UNLIMITED_BYTES), default=None)

    @property
    def used_bytes(self) -> int | None:
        """Return the memory that the kernel cannot drop, without page cache; None if unknown."""
        stat = _table(self.directories[0] / "memory.stat")
        fields = _V2_FIELDS if self.version == 2 else _V1_FIELDS
        if fields[0] not in stat:
            return None
        return sum(stat.get(name, 0) for name in fields) - stat.get("slab_reclaimable", 0)

    @property
    def oom_kills(self) -> int | None:
        """Return how many processes the kernel has killed at the limit; None if unknown."""
        name = "memory.events" if self.version == 2 else "memory.oom_control"
        return _table(self.directories[0] / name).get("oom_kill")


def memory_cgroup(root: Path = CGROUP, proc: Path = PROC) -> CgroupMemory | None:
    """Return the memory controller of this process; None if the system has none.

    Where v1 and v2 are both mounted, the one with a limit counts. A path that is not below the
    mount is that of the host: the mount itself is then the container's cgroup.

    Args:
        root: the mount of cgroup v2, or the folder of the mounts of v1.
        proc: the mount of /proc.
    """
    paths = _memberships(proc / "self/cgroup")
    v2 = CgroupMemory(2, _directories(root, paths.get("", "/"), "memory.max"))
    v1_root = root / "memory"
    v1_path = paths.get("memory", "/")
    v1 = CgroupMemory(1, _directories(v1_root, v1_path, "memory.limit_in_bytes"))
    usable = [cgroup for cgroup in (v2, v1) if cgroup.directories]
    limited = (cgroup for cgroup in usable if cgroup.limit_bytes is not None)
    return next(limited, next(iter(usable), None))


@dataclass(frozen=True, slots=True)
class ProcessMemory:
    """The memory of one process."""

    rss_bytes: int  # resident, with all of each page that it shares
    pss_bytes: int  # resident, with its share of each page that it shares
    anonymous_bytes: int  # of pss_bytes, what comes from no file: heap, stacks and tensors


def process_memory(pid: int | str = "self", proc: Path = PROC) -> ProcessMemory | None:
    """Return the memory of a process; None if it has ended or the system does not tell.

    The kernel walks all pages for it, some milliseconds for a gigabyte: for a measurement, not for
    each request.
    """
    kilobytes = _table(proc / str(pid) / "smaps_rollup")
    try:
        rss, pss, anonymous = (kilobytes[name] for name in ("Rss", "Pss", "Pss_Anon"))
    except KeyError:
        return None
    return ProcessMemory(1024 * rss, 1024 * pss, 1024 * anonymous)


def reset_peak(proc: Path = PROC) -> bool:
    """Begin the peak of this process anew; return False where the system does not allow it."""
    try:
        (proc / "self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def anonymous_peak_bytes(proc: Path = PROC) -> int:
    """Return the most memory from no file that this process took since `reset_peak`; 0 if unknown.

    The kernel keeps the peak of all resident memory. What then came from files is at most what does
    so now, if none was unmapped: the result is no more than the real peak.
    """
    kilobytes = _table(proc / "self/status")
    files = kilobytes.get("RssFile", 0) + kilobytes.get("RssShmem", 0)
    return 1024 * max(0, kilobytes.get("VmHWM", 0) - files)


def anonymous_bytes(pids: Iterable[int | str] = ("self",), proc: Path = PROC) -> int:
    """Return the memory of processes that comes from no file; one that has ended counts nothing."""
    total = 0
    for pid in pids:
        pages = _text(proc / str(pid) / "statm").split()
        if len(pages) > 2:
            total += (int(pages[1]) - int(pages[2])) * _PAGE_BYTES
    return total


def child_processes(proc: Path = PROC) -> tuple[int, ...]:
    """Return the ids of the processes that this one has started."""
    threads = (proc / "self/task").glob("*/children")
    return tuple(int(word) for path in threads for word in _text(path).split())


def _memberships(path: Path) -> dict[str, str]:
    """Return the path of the process by controller of v1; that of v2 has the key ""."""
    rows = (line.split(":", 2) for line in _text(path).splitlines())
    return {name: row[2] for row in rows if len(row) == 3 for name in row[1].split(",")}


def _directories(root: Path, path: str, file: str) -> tuple[Path, ...]:
    """Return the directory of a path and those above it, down from which the limits apply."""
    own = root / path.strip("/")
    if ".." in Path(path).parts or not _is_readable(own / file):
        own = root  # the path is seen from outside of the container
    return tuple(path for path in _upwards(own, root) if _is_readable(path / file))


def _is_readable(path: Path) -> bool:
    """Return whether the file is there and open to this user: a cgroup of root need not be."""
    return os.access(path, os.R_OK)


def _upwards(path: Path, root: Path) -> Iterator[Path]:
    yield path
    while path != root:
        path = path.parent
        yield path


def _table(path: Path) -> dict[str, int]:
    """Return the numbers of a file of lines "name number", also "name: number kB"."""
    rows = (line.split() for line in _text(path).splitlines())
    return {r[0].rstrip(":"): int(r[1]) for r in rows if len(r) > 1 and r[1].isdecimal()}


def _integer(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdecimal() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""

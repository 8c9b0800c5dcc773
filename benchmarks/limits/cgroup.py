"""Make a cgroup with limits of memory and CPUs: version 1 or 2, as root."""

import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import BenchmarkError
from runtime.engine.memory import CgroupMemory

ROOT = Path("/sys/fs/cgroup")
PERIOD_US = 100_000  # the kernel's default
MIB = 2**20
REMOVE_S = 4.0
V1, V2 = 1, 2
CONTROLLERS = ("cpu", "memory")
# moves itself into the cgroups, then becomes the command
_JOIN = 'n="$1"; shift; while [ "$n" -gt 0 ]; do echo $$ > "$1/cgroup.procs" || exit 125; shift; '
_JOIN += 'n=$((n - 1)); done; exec "$@"'


@dataclass(frozen=True, slots=True)
class Cgroup:
    """A cgroup for one server."""

    version: int
    memory: Path  # directory of the memory controller
    cpu: Path  # directory of the CPU controller; that of the memory in version 2

    def command(self, command: Sequence[str]) -> tuple[str, ...]:
        """Return a command that runs another one inside."""
        directories = dict.fromkeys((str(self.memory), str(self.cpu)))
        return ("/bin/sh", "-c", _JOIN, "sh", str(len(directories)), *directories, *command)

    @property
    def used_bytes(self) -> int:
        """Return the memory that the kernel cannot drop, with the buffers of sockets."""
        used = CgroupMemory(self.version, (self.memory,)).used_bytes or 0
        return used + (_number(self.memory / "memory.kmem.tcp.usage_in_bytes") or 0)

    @property
    def oom_kills(self) -> int:
        """Return how many processes the kernel has killed at the limit."""
        return CgroupMemory(self.version, (self.memory,)).oom_kills or 0


def quota_us(cpus: float) -> int:
    """Return the CPU time of a period, in microseconds, that is so many CPUs.

    Raises:
        BenchmarkError: the kernel allows no less than 1000.
    """
    quota = round(cpus * PERIOD_US)
    if quota < 1000:
        raise BenchmarkError(f"{cpus} CPUs are {quota} us of {PERIOD_US}; allowed: 1000 or more")
    return quota


def limits(version: int, memory_mib: int, cpus: float) -> tuple[Mapping[str, str], ...]:
    """Return the files of the memory and the CPU controller and their content."""
    quota, size = quota_us(cpus), str(memory_mib * MIB)
    if version == V2:
        return {"memory.max": size}, {"cpu.max": f"{quota} {PERIOD_US}"}
    cpu = {"cpu.cfs_period_us": str(PERIOD_US), "cpu.cfs_quota_us": str(quota)}
    return {"memory.limit_in_bytes": size}, cpu


def version_of(root: Path = ROOT) -> int:
    """Return the version whose controllers of memory and CPUs can be used here.

    Raises:
        BenchmarkError: neither can; says what is missing.
    """
    if os.geteuid() != 0:
        raise BenchmarkError("cgroups are made by root; this is another user")
    v2 = root / "cgroup.subtree_control"
    enabled = v2.read_text(encoding="ascii").split() if v2.is_file() else []
    if set(CONTROLLERS) <= set(enabled):
        return V2
    missing = [name for name in CONTROLLERS if not (root / name / "cgroup.procs").is_file()]
    if not missing:
        return V1
    raise BenchmarkError(
        f"{root}: version 2 has {' '.join(enabled) or 'no'} controllers below the root, and "
        f"version 1 lacks {' and '.join(missing)}; needed: {' and '.join(CONTROLLERS)}"
    )


@contextmanager
def limited(memory_mib: int, cpus: float, root: Path = ROOT) -> Iterator[Cgroup]:
    """Make a cgroup for the block.

    Args:
        memory_mib: limit of the memory; swap is not limited.
        cpus: limit of the CPU time per second.
        root: mount of version 2, or folder of the mounts of version 1.

    Raises:
        BenchmarkError: this user or system cannot; says why.
    """
    version = version_of(root)
    contents = limits(version, memory_mib, cpus)
    parents = (root,) if version == V2 else (root / "memory", root / "cpu")
    with ExitStack() as stack:
        try:
            directories = [stack.enter_context(_directory(parent)) for parent in parents]
            group = Cgroup(version, directories[0], directories[-1])
            for directory, files in zip((group.memory, group.cpu), contents, strict=True):
                for name, text in files.items():
                    (directory / name).write_text(text, encoding="ascii")
        except OSError as error:
            raise BenchmarkError(f"no cgroup below {root}: {error}") from error
        yield group


@contextmanager
def _directory(parent: Path) -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="slipway-limits-", dir=parent))
    try:
        yield path
    finally:
        _remove(path)


def _remove(path: Path) -> None:
    """Remove a cgroup, which a process that was just ended leaves a moment later."""
    end = time.monotonic() + REMOVE_S
    while True:
        try:
            path.rmdir()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
        else:
            return


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None

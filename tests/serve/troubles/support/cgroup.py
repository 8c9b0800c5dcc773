"""A memory cgroup for the server: version 1 directories are made, both versions are read."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

V1_ROOT = Path("/sys/fs/cgroup/memory")


@dataclass(frozen=True, slots=True)
class Cgroup:
    """The directory of a memory cgroup."""

    path: Path

    @property
    def version(self) -> int:
        """Return 2 if the directory has the files of cgroup v2, else 1."""
        return 2 if (self.path / "memory.events").exists() else 1

    @property
    def limit_bytes(self) -> int | None:
        """Return the limit; None for "max"."""
        name = "memory.max" if self.version == 2 else "memory.limit_in_bytes"
        text = (self.path / name).read_text(encoding="ascii").strip()
        return None if text == "max" else int(text)

    @property
    def oom_kills(self) -> int:
        """Return how many processes the kernel has killed at the limit."""
        name = "memory.events" if self.version == 2 else "memory.oom_control"
        return _fields(self.path / name)["oom_kill"]

    @property
    def anonymous_bytes(self) -> int:
        """Return the memory of the processes that the kernel cannot drop, without page cache."""
        fields = _fields(self.path / "memory.stat")
        return fields["anon"] if self.version == 2 else fields["total_rss"]


@contextmanager
def memory_cgroup(limit_bytes: int, *, root: Path = V1_ROOT) -> Iterator[Cgroup | None]:
    """Make a v1 cgroup for the block; None where this user or system cannot."""
    try:
        path = Path(tempfile.mkdtemp(prefix="slipway-troubles-", dir=root))
    except OSError:
        yield None
        return
    try:
        (path / "memory.limit_in_bytes").write_text(str(limit_bytes), encoding="ascii")
    except OSError:
        path.rmdir()
        yield None
        return
    try:
        yield Cgroup(path)
    finally:
        # a process that was just killed leaves its cgroup a moment later
        for _ in range(100):
            try:
                path.rmdir()
            except OSError:
                time.sleep(0.02)
            else:
                break


def _fields(path: Path) -> dict[str, int]:
    """Return the numbers of a file of lines `name number`."""
    lines = path.read_text(encoding="ascii").splitlines()
    return {name: int(number) for name, number in (line.split() for line in lines)}

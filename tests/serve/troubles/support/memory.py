"""The memory of a process and of all its children, sampled (Linux only)."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.serve.troubles.support.cgroup import Cgroup

MEGABYTE = 1e6
PERIOD_S = 0.1


def process_tree(pid: int) -> list[int]:
    """Return a process and all its descendants; those that end meanwhile are left out."""
    pids, waiting = [], [pid]
    while waiting:
        current = waiting.pop()
        pids.append(current)
        for path in Path(f"/proc/{current}/task").glob("*/children"):
            try:
                waiting += [int(child) for child in path.read_text(encoding="ascii").split()]
            except OSError:
                continue
    return pids


def pss_mb(pid: int) -> float:
    """Return the proportional memory of a process and its children, in MB."""
    return sum(_field_mb(f"/proc/{child}/smaps_rollup", "Pss") for child in process_tree(pid))


def anonymous_mb(pid: int) -> list[float]:
    """Return the memory that comes from no file, in MB: of a process, then of each descendant."""
    return [_field_mb(f"/proc/{child}/smaps_rollup", "Pss_Anon") for child in process_tree(pid)]


def rss_mb(pid: int) -> float:
    """Return the resident memory of a process, in MB."""
    return _field_mb(f"/proc/{pid}/status", "VmRSS")


def peak_mb(pid: int) -> float:
    """Return the highest resident memory of a process since `reset_peak`, in MB."""
    return _field_mb(f"/proc/{pid}/status", "VmHWM")


def reset_peak(pid: int) -> None:
    """Let the peak of a process begin anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


@dataclass(slots=True)
class Samples:
    """The highest memory that was sampled so far, of all processes together."""

    highest_mb: float = 0.0
    last_mb: float = 0.0
    _ended: threading.Event = field(default_factory=threading.Event)


@contextmanager
def sampled(pid: int, cgroup: Cgroup | None) -> Iterator[Samples]:
    """Sample the memory while the block runs: total_rss of the cgroup, else summed PSS."""
    samples = Samples()

    def sample() -> None:
        while not samples._ended.wait(PERIOD_S):
            value = pss_mb(pid) if cgroup is None else cgroup.anonymous_bytes / MEGABYTE
            samples.last_mb = value
            samples.highest_mb = max(samples.highest_mb, value)

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        samples._ended.set()
        thread.join()


def _field_mb(path: str, name: str) -> float:
    """Return a field in kB of a file of /proc as MB; 0 if the process has ended."""
    try:
        text = Path(path).read_text(encoding="ascii")
    except OSError:
        return 0.0
    match = re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
    return int(match[1]) * 1024 / MEGABYTE if match else 0.0

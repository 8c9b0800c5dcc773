"""All processes of a server: their CPU time and memory (Linux only). Standard library alone."""

import os
import re
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PSS = re.compile(r"^Pss:\s*(\d+) kB$", re.MULTILINE)


def descendants(pid: int) -> list[int]:
    """Return the processes that a process started, and those that these started, and so on."""
    pids, waiting = list[int](), [pid]
    while waiting:
        for path in Path(f"/proc/{waiting.pop()}/task").glob("*/children"):
            try:
                children = [int(word) for word in path.read_text(encoding="ascii").split()]
            except OSError:
                continue  # it ended meanwhile
            pids += children
            waiting += children
    return pids


def cpu_seconds(pids: list[int]) -> float:
    """Return the CPU time of processes and of their children that have ended."""
    return sum(_ticks(pid) for pid in pids) / _TICKS


def _ticks(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    # the name in parentheses may hold blanks; utime, stime, cutime and cstime are 14 to 17
    return sum(map(int, text.rpartition(")")[2].split()[11:15]))


def pss_bytes(pids: list[int]) -> int:
    """Return the memory of processes, a page that several share counted once (its shares)."""
    return sum(_pss_bytes(pid) for pid in pids)


def _pss_bytes(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0
    line = _PSS.search(text)
    return int(line[1]) * 1024 if line else 0

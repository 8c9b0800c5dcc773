"""The worker processes of a pool, as the system lists them."""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

HOSTILE_JOBS = "tests.runtime.support.hostile_jobs"  # for `IsolatedDecoders(jobs=...)`


def workers(parent: int = 0) -> list[int]:
    """List the children of a process, this one for 0, that are workers or zombies."""
    pids = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it may end meanwhile
            state, ppid = (entry / "stat").read_text("utf-8").rpartition(")")[2].split()[:2]
            if int(ppid) == (parent or os.getpid()):
                is_worker = b"isolation" in (entry / "cmdline").read_bytes()
                pids += [int(entry.name)] if is_worker or state == "Z" else []
    return sorted(pids)


def has_ended(pid: int) -> bool:
    """Return whether a process is gone or a zombie: a bare container has no init to reap it."""
    try:
        return "Z" in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2]
    except OSError:
        return True


def becomes_true(condition: Callable[[], bool]) -> bool:
    """Poll a condition for at most four seconds; return whether it came true."""
    for _ in range(200):
        if condition():
            return True
        time.sleep(0.02)
    return False

"""Run a command, and end all that it started: its children, and theirs, even in other sessions.

    python -m benchmarks.peers.keeper SECONDS COMMAND ...

What a process of the command leaves behind becomes a child of this one, so none is lost. All end
when the command ends, at SIGTERM, after SECONDS, and when the process that started this one ends.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType

from benchmarks.peers.tree import descendants

_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36  # of prctl
GRACE_S = 2.0
POLL_S = 0.02


class _Asked(Exception):  # noqa: N818 - no error
    """SIGTERM or the time is over."""


def main(arguments: Sequence[str]) -> int:
    """Run the command; print when it starts, in s of the monotonic clock of all processes."""
    seconds, *command = arguments
    prctl = ctypes.CDLL(None).prctl
    prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    prctl(_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
        signal.signal(number, _ask)
    signal.alarm(int(float(seconds)))
    try:
        print(time.monotonic(), flush=True)
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr)
        return _wait(process.pid)
    except _Asked:
        return 0
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
            signal.signal(number, signal.SIG_IGN)
        end_all()


def _ask(number: int, frame: FrameType | None) -> None:
    raise _Asked


def _wait(pid: int) -> int:
    """Wait for a process, and for the orphans that end meanwhile; return its exit code."""
    while True:
        ended, status = os.wait()
        if ended == pid:
            return abs(os.waitstatus_to_exitcode(status))


def end_all() -> None:
    """End every descendant of this process: with SIGTERM, and after GRACE_S with SIGKILL."""
    end = time.monotonic() + GRACE_S
    _send(signal.SIGTERM)
    while _reap() and time.monotonic() < end:
        time.sleep(POLL_S)
    while _reap():
        _send(signal.SIGKILL)
        time.sleep(POLL_S)


def _send(number: int) -> None:
    for pid in descendants(os.getpid()):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _reap() -> bool:
    """Collect the children that have ended; return whether there are others."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

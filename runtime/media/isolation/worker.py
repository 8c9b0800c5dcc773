"""The program of a worker process.

    python -m runtime.media.isolation.worker JOBS_MODULE ALARM_S

Its standard input is a socket, from which it reads requests and to which it writes the replies. It
ends when the other end of the socket closes.
"""

import contextlib
import ctypes
import importlib
import os
import resource
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

from runtime.errors import InputError
from runtime.media.isolation import wire
from runtime.media.isolation.jobs import Job
from runtime.media.isolation.wire import REFUSALS, Message


def main(jobs_module: str, alarm_s: str) -> None:
    """Answer requests until the pool closes the socket."""
    jobs: Mapping[str, Job] = importlib.import_module(jobs_module).JOBS
    connection = _take_over_socket()
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # the server's may be ignored, and inherited
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # KeyboardInterrupt would be an exit code
    _volunteer_for_oom_killer()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold a client's file
    wire.send(connection, Message("ready"))
    while _answer_request(connection, jobs, float(alarm_s)):
        _give_memory_back()


def _answer_request(connection: Connection, jobs: Mapping[str, Job], alarm_s: float) -> bool:
    """Read a request and write the replies; return False if the pool closed the socket."""
    request = _receive(connection)
    if request is None:
        return False
    # the pool kills a hung decoder; the alarm ends one whose pool is gone. It does not run while
    # the pool is busy between two parts
    signal.setitimer(signal.ITIMER_REAL, alarm_s)
    for reply in _run_job(jobs, request):
        signal.setitimer(signal.ITIMER_REAL, 0)
        wire.send(connection, reply)
        signal.setitimer(signal.ITIMER_REAL, alarm_s)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return True


def _give_memory_back() -> None:
    """Return the heap's free pages to the system, where the C library is glibc."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _volunteer_for_oom_killer() -> None:
    """Have Linux end this process, whose request is tried again, before the server."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _take_over_socket() -> Connection:
    """Return the connection to the pool; point the standard streams at /dev/null.

    A library that prints would otherwise write into the replies, or let clients write to the
    server's log.
    """
    connection = Connection(os.dup(0))
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    return connection


def _run_job(jobs: Mapping[str, Job], request: Message) -> Iterator[Message]:
    """Yield the parts of an answer, then how it ended."""
    try:
        yield from jobs[request.fields["job"]](request.fields["arguments"], request.data)
    except InputError as error:
        yield _refusal(type(error).__name__, str(error))
    except MemoryError:
        size = len(request.data)
        reason = f"the file of {size} bytes needs more memory than a decoder may have"
        yield _refusal("TooLargeError", reason)
    except Exception:
        yield Message("fault", {"traceback": traceback.format_exc()[-8000:]})
    else:
        yield Message("end")


def _refusal(error: str, message: str) -> Message:
    name = error if error in REFUSALS else "InputError"
    return Message("refusal", {"error": name, "message": message[:2000]})


def _receive(connection: Connection) -> Message | None:
    """Read a request under the memory limit that it names; return None if the socket closed."""
    try:
        head = wire.receive_head(connection)
    except (EOFError, ConnectionResetError):
        return None
    # RLIMIT_DATA counts the process's own memory, not code that is mapped from files
    limit = head.fields["memory_bytes"]
    resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.RLIM_INFINITY))
    return replace(head, data=connection.recv_bytes())


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (BrokenPipeError, ConnectionResetError):
        os._exit(0)  # the pool is gone

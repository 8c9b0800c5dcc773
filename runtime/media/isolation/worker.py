"""The program of a worker.

    python -m runtime.media.isolation.worker JOBS_MODULE ALARM_S

Its standard input is a socket: it reads requests there and answers them, until the socket ends.
"""

import importlib
import os
import resource
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import replace
from multiprocessing.connection import Connection

from runtime.errors import InputError
from runtime.media.isolation import wire
from runtime.media.isolation.jobs import Job
from runtime.media.isolation.wire import REFUSALS, Message


def main(jobs_module: str, alarm_s: str) -> None:
    """Answer requests until there are no more."""
    jobs: Mapping[str, Job] = importlib.import_module(jobs_module).JOBS
    connection = _take_over_socket()
    _prepare()
    wire.send(connection, Message("ready"))
    while (request := _receive(connection)) is not None:
        # the pool kills a hung decoder first; the alarm ends it where the pool's process is gone
        signal.setitimer(signal.ITIMER_REAL, float(alarm_s))
        for reply in _answers(jobs, request):
            signal.setitimer(signal.ITIMER_REAL, 0)
            wire.send(connection, reply)
            signal.setitimer(signal.ITIMER_REAL, float(alarm_s))
        signal.setitimer(signal.ITIMER_REAL, 0)


def _take_over_socket() -> Connection:
    """Return the socket, out of reach of libraries that print: they would corrupt the answers."""
    connection = Connection(os.dup(0))
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):  # the last is the server's log, where a client could write at will
        os.dup2(nothing, number)
    return connection


def _prepare() -> None:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # the parent's may be ignored, and inherited
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would hold what was decoded


def _answers(jobs: Mapping[str, Job], request: Message) -> Iterator[Message]:
    try:
        yield from jobs[request.facts["job"]](request.facts["arguments"], request.data)
    except InputError as error:
        yield _refusal(type(error).__name__, str(error))
    except MemoryError:
        size = len(request.data)
        need = f"the file of {size} bytes needs more memory than a decoder may have"
        yield _refusal("TooLargeError", need)
    except Exception:
        yield Message("fault", {"traceback": traceback.format_exc()[-8000:]})
    else:
        yield Message("end")


def _refusal(kind: str, message: str) -> Message:
    name = kind if kind in REFUSALS else "InputError"
    return Message("refused", {"error": name, "message": message[:2000]})


def _receive(connection: Connection) -> Message | None:
    try:
        head = wire.receive_head(connection)
    except (EOFError, ConnectionResetError):
        return None
    # the memory of the process itself; code that is mapped from files does not count
    resource.setrlimit(resource.RLIMIT_DATA, (head.facts["memory_bytes"], resource.RLIM_INFINITY))
    return replace(head, data=connection.recv_bytes())


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (BrokenPipeError, ConnectionResetError, KeyboardInterrupt):
        os._exit(0)  # the pool's process is gone

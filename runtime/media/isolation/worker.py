"""The program of a worker.

    python -m runtime.media.isolation.worker JOBS_MODULE MEMORY_BYTES ALARM_S

It reads requests from its standard input and answers on its standard output, until the input ends.
"""

import importlib
import os
import resource
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from runtime.errors import InputError
from runtime.media.isolation.jobs import Job
from runtime.media.isolation.wire import HEAD, REFUSALS, Message, pack, unpack_facts, unpack_head


def main(jobs_module: str, memory_bytes: str, alarm_s: str) -> None:
    """Answer requests until there are no more."""
    jobs: Mapping[str, Job] = importlib.import_module(jobs_module).JOBS
    inbound, outbound = _taken_over()
    _prepare()
    _send(outbound, Message("ready"))
    while (request := _receive(inbound, int(memory_bytes))) is not None:
        # whoever asked kills first; where nobody is left to do it, the alarm ends a hung decoder
        signal.setitimer(signal.ITIMER_REAL, float(alarm_s))
        for reply in _answers(jobs, request):
            signal.setitimer(signal.ITIMER_REAL, 0)
            _send(outbound, reply)
            signal.setitimer(signal.ITIMER_REAL, float(alarm_s))
        signal.setitimer(signal.ITIMER_REAL, 0)


def _taken_over() -> tuple[BinaryIO, BinaryIO]:
    """The two pipes, out of reach of libraries that print: at a client's will, into the log too."""
    inbound, outbound = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    return inbound, outbound


def _prepare() -> None:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # the parent's may be ignored, and inherited
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would hold what was decoded


def _answers(jobs: Mapping[str, Job], request: Message) -> Iterator[Message]:
    try:
        yield from jobs[request.facts["job"]](request.facts["arguments"], bytes(request.data))
    except InputError as error:
        yield _refusal(type(error).__name__, str(error))
    except MemoryError:
        size = len(request.data)
        found = f"the file of {size} bytes needs more memory than a decoder may have"
        yield _refusal("TooLargeError", found)
    except Exception:
        yield Message("fault", {"traceback": traceback.format_exc()[-8000:]})
    else:
        yield Message("end")


def _refusal(kind: str, message: str) -> Message:
    known = kind if kind in REFUSALS else "InputError"
    return Message("refused", {"error": known, "message": message[:2000]})


def _receive(inbound: BinaryIO, memory_bytes: int) -> Message | None:
    head = inbound.read(HEAD.size)
    if len(head) < HEAD.size:
        return None
    kind, facts_bytes, data_bytes = unpack_head(head)
    # what a process has of its own, the file and a copy of it beside what decoding takes; code that
    # is mapped from files does not count
    limit = memory_bytes + 2 * data_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.RLIM_INFINITY))
    return Message(kind, unpack_facts(inbound.read(facts_bytes)), inbound.read(data_bytes))


def _send(outbound: BinaryIO, message: Message) -> None:
    for part in pack(message):
        outbound.write(part)
    outbound.flush()


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (BrokenPipeError, KeyboardInterrupt):
        os._exit(0)  # whoever asked is gone

"""Serve one port with several processes: `WORKERS`."""

import gc
import os
import select
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from runtime.engine.memory import process_memory
from runtime.engine.resources import cpu_count
from serve.app import body_bytes_of
from serve.http.log.record import message_json
from serve.http.log.start import Form, open_log
from serve.lifecycle.process import serve
from serve.lifecycle.signals import Signals
from serve.lifecycle.supervisor import REFUSED, Supervisor
from serve.repository.loading import READY
from serve.repository.memory.budget import CLIP_BYTES, MIB
from serve.repository.opening import open_repository
from serve.settings import Settings
from serve.workers.board import Board, Row
from serve.workers.fair_listener import FairListener, InternalListener
from serve.workers.siblings import Siblings

Report = Callable[[str], None]
LINE_BYTES = 4096  # that a pipe takes at once
WRITE_S = 0.1  # for a pipe to have room for them


def serve_with_workers(
    settings: Settings, listeners: Sequence[socket.socket], signals: Signals, report: Report
) -> int:
    """Fork the workers and supervise them until a signal.

    Args:
        settings: of the server.
        listeners: that the workers accept from: first the port, then that of the metrics.
        signals: caught already.
        report: takes one line of the log.

    Returns:
        0 if every worker ended as it should, else 1.
    """
    count, cpus = settings.workers, cpu_count()
    report(
        f"{count} workers on {cpus} CPUs: each loads its own copy of the models, and has its share "
        "of CPUs, memory, queues and jobs"
    )
    board = Board(count)
    internals = [InternalListener.create() for _ in range(count)]
    addresses = tuple(internal.getsockname() for internal in internals)

    def work(number: int) -> int:
        open_log(settings.log)
        row, own_settings = board.row(number), settings.for_worker(number, cpus=cpus)
        log = _WorkerLog(row)
        repository = open_repository(own_settings, log)
        log.is_open = True
        allowed = [limit.allowed_bytes for limit in repository.memory.limits]
        body_bytes = body_bytes_of(own_settings, repository.memory.limits)
        if allowed and min(allowed) < CLIP_BYTES + repository.memory.base_bytes + body_bytes:
            log(
                f"memory: too little for clips, which take {CLIP_BYTES / MIB:.0f} MiB; they get 503"
            )
        port, *others = listeners
        ends = [FairListener(port, row), internals[number], *others]
        siblings = Siblings(number, addresses)
        failed = serve(own_settings, repository, ends, signals, log, row=row, siblings=siblings)
        return REFUSED if failed else 0

    def close() -> None:
        for listener in listeners:
            listener.close()

    def tell_ready(pids: Sequence[int]) -> None:
        memories = [memory for pid in pids if (memory := process_memory(pid))]
        size_bytes = sum(memory.pss_bytes for memory in memories)
        report(f"the workers and their supervisor take {size_bytes / MIB:.0f} MiB without requests")
        report(READY)

    # the workers share the pages of what is imported, until the collector writes into them
    gc.collect()
    gc.freeze()
    supervisor = Supervisor(
        board,
        work,
        signals,
        timeout_s=settings.stop_timeout_s,
        report=report,
        close=close,
        on_ready=tell_ready,
    )
    return supervisor.run()


def patient_report(form: Form) -> Report:
    """Return what writes a line of the log and never waits long for a pipe that nobody reads.

    The supervisor has no threads, so that it can fork.
    """

    def report(line: str) -> None:
        text = f"serve: {line}"
        if form == "json":
            text = message_json(time.time(), "info", text)
        data = text.encode(errors="backslashreplace")[: LINE_BYTES - 1] + b"\n"
        with suppress(OSError):
            if select.select([], [2], [], WRITE_S)[1]:
                os.write(2, data)

    return report


@dataclass(slots=True)
class _WorkerLog:
    """The lines of a worker. The supervisor has told those about the directory already."""

    row: Row
    is_open: bool = False

    def __call__(self, line: str) -> None:
        """Log a line; that the models are loaded goes to the supervisor, who waits for all."""
        if line == READY:
            self.row.set_ready()
        elif self.is_open:
            print(f"serve: worker {self.row.worker + 1}: {line}", file=sys.stderr)

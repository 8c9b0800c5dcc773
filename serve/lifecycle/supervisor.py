"""The parent of several workers: it starts them, starts those again that die, and ends them."""

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from serve.lifecycle.signals import Signals
from serve.workers.board import Board

TICK_S = 0.05
BACKOFF_S = (0.0, 0.5, 1.0, 2.0, 5.0)  # before a worker is started again, by deaths in a row
STEADY_S = 60.0  # after which a death is the first in a row
REFUSED = 3  # the exit code of a worker that can answer nothing, as its successor could not
FAULT = 70  # of one that ended with an exception
KILL_S = 5.0  # after the time in which workers end, until they are killed

Report = Callable[[str], None]


@dataclass(slots=True)
class _Worker:
    """One of the workers: its process, or when the next one is started."""

    pid: int = 0  # 0: none runs
    started_s: float = 0.0
    due_s: float = 0.0
    deaths: int = 0  # in a row


class Supervisor:
    """Runs workers until a signal, or until none of them can serve.

    The workers are forked, so that they share the memory of what is imported. The process that
    forks them has no threads of its own, and loads no model.
    """

    def __init__(
        self,
        board: Board,
        serve: Callable[[int], int],
        signals: Signals,
        *,
        timeout_s: float,
        report: Report,
        close: Callable[[], None],
        on_ready: Callable[[Sequence[int]], None],
    ) -> None:
        """Start nothing yet.

        Args:
            board: on which the workers tell what they do.
            serve: is called in a worker with its number, and returns its exit code.
            signals: whose flag ends the workers.
            timeout_s: in which they end.
            report: takes one line of the log.
            close: closes the port of this process, when the workers have closed it.
            on_ready: is called once, when all workers have loaded their models, with the ids of
                the processes.
        """
        self._board = board
        self._serve = serve
        self._signals = signals
        self._timeout_s = timeout_s
        self._report = report
        self._close = close
        self._on_ready = on_ready
        self._workers = [_Worker() for _ in range(board.workers)]
        self._hangups = 0
        self._code = 0
        self._is_ending = False
        self._is_closed = False
        self._was_ready = False

    def run(self) -> int:
        """Return the exit code when the last worker has ended."""
        self._signals.at_once = self._end_at_once
        while self._running() or not self._signals.stop.requested:
            self._reap()
            self._pass_signals()
            if not self._signals.stop.requested:
                self._start_due()
                self._note_ready()
            time.sleep(TICK_S)
        return self._code

    def _running(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker.pid]

    def _start_due(self) -> None:
        now_s = time.monotonic()
        for number, worker in enumerate(self._workers):
            if not worker.pid and worker.due_s <= now_s:
                worker.started_s = now_s
                worker.pid = os.fork() or self._live(number)

    def _live(self, number: int) -> int:
        """Be a worker: end the process with its exit code."""
        code = FAULT
        try:
            self._signals.at_once = lambda: None
            os.setpgid(0, 0)  # Ctrl-C reaches the supervisor alone, which passes it on
            code = self._serve(number)
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else FAULT
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        """Note which workers have ended; take the orphans of a container's process 1 too."""
        while self._running():
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            for number, worker in enumerate(self._workers):
                if worker.pid == pid:
                    self._bury(number, worker, os.waitstatus_to_exitcode(status))

    def _bury(self, number: int, worker: _Worker, code: int) -> None:
        worker.pid = 0
        self._board.clear(number)
        if self._signals.stop.requested:
            self._code = self._code or int(code != 0)
            return
        if code == REFUSED:
            self._signals.stop.fail("a worker can answer nothing")
            self._code = 1
            return
        now_s = time.monotonic()
        worker.deaths = 1 if now_s - worker.started_s > STEADY_S else worker.deaths + 1
        pause_s = BACKOFF_S[min(worker.deaths, len(BACKOFF_S)) - 1]
        worker.due_s = now_s + pause_s
        if not self._was_ready and worker.deaths > len(BACKOFF_S):
            self._signals.stop.fail("a worker dies again and again while it starts")
            self._report(self._signals.stop.failure)
            self._code = 1
            return
        self._report(f"worker {number + 1} {_end_of(code)}; it is started again in {pause_s:g} s")

    def _pass_signals(self) -> None:
        stop = self._signals.stop
        if self._hangups != self._signals.hangups:
            self._hangups = self._signals.hangups
            self._send(signal.SIGHUP)
        if not stop.requested:
            return
        if not self._is_ending:
            self._is_ending = True
            self._board.end()
        elif stop.elapsed_s > self._timeout_s + KILL_S:
            self._send(signal.SIGKILL)
        if not self._is_closed and not self._board.is_serving():
            self._is_closed = True
            self._close()

    def _end_at_once(self) -> None:
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        for worker in self._running():
            os.kill(worker.pid, number)

    def _note_ready(self) -> None:
        if not self._was_ready and all(self._board.ready()):
            self._was_ready = True
            self._on_ready([os.getpid(), *(worker.pid for worker in self._running())])


def _end_of(code: int) -> str:
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"

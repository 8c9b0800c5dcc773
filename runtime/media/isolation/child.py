"""A worker process as the pool sees it: started, asked within a deadline, killed with its group."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection

from runtime.media.isolation import wire
from runtime.media.isolation.wire import Message, WireError

# Linux and macOS; elsewhere there are no such processes, and the caller's process decodes
SUPPORTED = all(hasattr(os, name) for name in ("waitid", "killpg"))
START_S = 60.0  # for a worker to start, on a machine that has much else to do
_EXIT_GRACE_S = 0.5  # from the end of a worker's connection to its exit, whose code says why
# of the environment; a decoder needs nothing that is configured there, and secrets may be
_INHERITED = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE")
_SINGLE_THREADED = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}


class DiedError(Exception):
    """A worker ended, or sent no valid message; the text says how."""


@dataclass(slots=True)
class Budget:
    """Seconds that may be spent waiting for a worker; other work of the pool is not counted."""

    left_s: float


class Child:
    """A worker process, the leader of its own group. Used by one thread at a time."""

    def __init__(self, *, jobs: str, alarm_s: float) -> None:
        """Start it and wait until it is ready.

        Raises:
            DiedError: it does not start.
        """
        # not a fork: the heap and the locks of a process with threads would come along
        program = (sys.executable, "-P", "-m", "runtime.media.isolation.worker")
        self._socket, its_end = socket.socketpair()
        with its_end:
            self._popen: subprocess.Popen[bytes] = subprocess.Popen(
                [*program, jobs, str(alarm_s)],
                stdin=its_end.fileno(),
                stdout=subprocess.DEVNULL,
                cwd="/",
                env=_environment(),
                start_new_session=True,
            )
        self._connection = Connection(os.dup(self._socket.fileno()))
        self._ended = False
        try:
            with self._within(Budget(START_S)):
                wire.receive(self._connection)
        except BaseException:
            self.kill()
            raise

    @property
    def pid(self) -> int:
        """Return the number of the process, and of its group."""
        return self._popen.pid

    def is_alive(self) -> bool:
        """Return whether the process runs."""
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT  # not reaped: its number stays its own
        return not self._ended and os.waitid(os.P_PID, self._popen.pid, flags) is None

    def ask(self, request: Message, budget: Budget) -> Iterator[Message]:
        """Send a request and yield the worker's messages, up to the last.

        Raises:
            TimeoutError: the budget is used up.
            DiedError: the worker ended, or sent no valid message.
        """
        with self._within(budget):
            wire.send(self._connection, request)
        kind = "part"
        while kind == "part":
            with self._within(budget):
                message = wire.receive(self._connection)
            kind = message.kind
            yield message

    def kill(self) -> None:
        """End the process and whatever it started, and reap it; a second call does nothing."""
        if self._ended:
            return
        self._ended = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()
        self._connection.close()
        self._socket.close()

    @contextmanager
    def _within(self, budget: Budget) -> Iterator[None]:
        """Let a block read or write messages for as long as the budget lasts.

        At its end a second thread shuts the socket down, which ends the read or write. The timeout
        of `Connection.poll` is not enough: `recv_bytes` after it blocks for ever where a worker
        stops within a message.

        Raises:
            TimeoutError: the budget is used up.
            DiedError: the worker ended, or sent no valid message.
        """
        timer = threading.Timer(max(0.0, budget.left_s), self._interrupt)
        timer.daemon = True
        begin = time.monotonic()
        timer.start()
        failure: Exception | None = None
        try:
            yield
        except (EOFError, OSError, WireError) as error:
            failure = error
        finally:
            timer.cancel()
            timer.join()  # else it might shut down the socket for the next request
            budget.left_s -= time.monotonic() - begin
        if budget.left_s <= 0:
            raise TimeoutError
        if failure is not None:
            raise self._died(failure)

    def _interrupt(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _died(self, error: Exception) -> DiedError:
        if isinstance(error, WireError):
            return DiedError(f"its decoder answered {error}")
        if not self._connection.readable:  # so recv_bytes leaves it after a frame that is too long
            return DiedError("its decoder answered more bytes than are allowed")
        ends = time.monotonic() + _EXIT_GRACE_S
        while self.is_alive() and time.monotonic() < ends:
            time.sleep(0.005)
        self.kill()  # it may have closed its connection only
        code = self._popen.returncode
        how = f"signal {-code}, {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return DiedError(f"its decoder ended by {how}")


def _environment() -> dict[str, str]:
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
    return {**inherited, **_SINGLE_THREADED, "PYTHONPATH": path}

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

# Linux and macOS; on other systems the caller's own process decodes
SUPPORTED = all(hasattr(os, name) for name in ("waitid", "killpg"))
START_TIMEOUT_S = 5.0  # a start takes 0.07 s, and 0.14 s beside 32 busy processes on two CPUs
_EXIT_GRACE_S = 0.5  # from the end of a worker's connection to its exit, whose code says why
# a decoder needs no configuration, and other variables of a server may be secrets
_INHERITED_VARIABLES = (
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "PYTHONHOME",
    "PYTHONDONTWRITEBYTECODE",
)
_SINGLE_THREADED = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}


# the OOM killer's, and those of `kill`; a decoder that crashes on a file gets others
_SIGNALS_FROM_OUTSIDE = frozenset((-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT))


class WorkerDiedError(Exception):
    """A worker ended over its file, or sent an invalid reply; the message says which."""


class WorkerLostError(Exception):
    """A worker did not start, or was killed from outside: its file is not the cause."""


@dataclass(slots=True)
class Budget:
    """The seconds that the pool may wait for a worker; its other work does not count."""

    allowed_s: float
    spent_s: float = 0.0


class WorkerProcess:
    """A worker process, the leader of its own process group. One thread at a time may use it."""

    def __init__(self, *, jobs: str, alarm_s: float) -> None:
        """Start the process; `wait_until_ready` comes before the first `ask`.

        Args:
            jobs: the module whose JOBS the worker offers.
            alarm_s: seconds of one request after which the worker ends itself, for when the
                process that should kill it is gone.

        Raises:
            WorkerLostError: the system has no process or no file descriptor for it.
        """
        # a new interpreter: a fork would copy the heap of a threaded process, and locks that no
        # thread of the copy ever releases
        program = (sys.executable, "-P", "-m", "runtime.media.isolation.worker")
        try:
            with contextlib.ExitStack() as failed:
                self._socket, worker_socket = socket.socketpair()
                failed.enter_context(self._socket)
                with worker_socket:
                    self._connection = Connection(os.dup(self._socket.fileno()))
                    self._popen: subprocess.Popen[bytes] = subprocess.Popen(
                        [*program, jobs, str(alarm_s)],
                        stdin=worker_socket.fileno(),
                        stdout=subprocess.DEVNULL,
                        cwd="/",
                        env=_environment(),
                        start_new_session=True,
                    )
                failed.pop_all()
        except OSError as error:
            raise WorkerLostError(f"no decoder process can be started: {error}") from error
        self._lock = threading.Lock()  # held to signal the process: a reaped id may be reused
        self._ready = self._killed = False

    def wait_until_ready(self) -> None:
        """Wait for the first message of the process; return at once if it has come before.

        Raises:
            WorkerLostError: the process ended, or has sent none after START_TIMEOUT_S.
        """
        if self._ready:
            return
        try:
            with self._within(Budget(START_TIMEOUT_S)):
                wire.receive_reply(self._connection)
        except TimeoutError:
            reason = f"a decoder process did not start within {START_TIMEOUT_S:g} s"
            raise WorkerLostError(reason) from None
        except WorkerDiedError as error:
            raise WorkerLostError(f"no decoder process starts: {error}") from None
        self._ready = True

    @property
    def pid(self) -> int:
        """Return the process id, which is also the id of the group."""
        return self._popen.pid

    def is_alive(self) -> bool:
        """Return whether the process still runs."""
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT  # WNOWAIT: unreaped, the id is not reused
        return not self._killed and os.waitid(os.P_PID, self._popen.pid, flags) is None

    def ask(self, request: Message, budget: Budget) -> Iterator[Message]:
        """Send a request and yield the worker's replies; the last is the first that is no part.

        Raises:
            TimeoutError: the budget is used up.
            WorkerDiedError: the worker ended, or sent an invalid reply.
            WorkerLostError: the worker was killed from outside, or with `stop`.
        """
        with self._within(budget):
            wire.send(self._connection, request)
        kind = "part"
        while kind == "part":
            with self._within(budget):
                reply = wire.receive_reply(self._connection)
            kind = reply.kind
            yield reply

    def kill(self) -> None:
        """Kill the process and its group, and reap it; a second call does nothing."""
        if self._killed:
            return
        self.stop()
        with self._lock:
            self._killed = True
        self._popen.wait()
        self._connection.close()
        self._socket.close()

    def stop(self) -> None:
        """Kill the process and its group; any thread may call it, at any time.

        The thread that uses the worker finds it lost, and reaps it with `kill`.
        """
        with self._lock, contextlib.suppress(ProcessLookupError):
            if not self._killed:
                os.killpg(self._popen.pid, signal.SIGKILL)

    @contextmanager
    def _within(self, budget: Budget) -> Iterator[None]:
        """Let the block read or write messages while the budget lasts, and charge its time.

        When the budget ends, a timer thread shuts the socket down, which ends the read or write.
        A timeout of `Connection.poll` would not do: `recv_bytes` after it blocks for ever if the
        worker stops within a message.

        Raises:
            TimeoutError: the budget is used up.
            WorkerDiedError, WorkerLostError: as `ask`.
        """
        timer = threading.Timer(max(0.0, budget.allowed_s - budget.spent_s), self._shut_down)
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
            timer.join()  # a late timer would shut the socket down under the next request
            budget.spent_s += time.monotonic() - begin
        if budget.spent_s >= budget.allowed_s:
            raise TimeoutError
        if failure is not None:
            raise self._explain(failure)

    def _shut_down(self) -> None:
        """Shut the socket down, which ends a read or write that another thread waits in."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _explain(self, failure: Exception) -> WorkerDiedError | WorkerLostError:
        """Return the error for a failed read or write: an invalid reply, or the worker's end.

        A worker that closed its end of the socket gets _EXIT_GRACE_S to end; then it is killed.
        """
        # recv_bytes leaves a connection unreadable after a frame that is longer than allowed
        if isinstance(failure, WireError) or not self._connection.readable:
            return WorkerDiedError("the decoder process sent an invalid reply")
        end = time.monotonic() + _EXIT_GRACE_S
        while (hangs := self.is_alive()) and time.monotonic() < end:
            time.sleep(0.005)
        self.kill()
        code = self._popen.returncode
        cause = f"signal {-code}, {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        error = WorkerLostError if code in _SIGNALS_FROM_OUTSIDE and not hangs else WorkerDiedError
        return error(f"the decoder process ended by {cause}")


def _environment() -> dict[str, str]:
    """Return the worker's environment: few variables, one thread, this process's import path."""
    inherited = {name: os.environ[name] for name in _INHERITED_VARIABLES if name in os.environ}
    path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
    return {**inherited, **_SINGLE_THREADED, "PYTHONPATH": path}

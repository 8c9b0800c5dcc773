"""One worker as its parent sees it: started, asked with a deadline, killed with all it started."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from runtime.media.isolation.wire import (
    HEAD,
    MAX_REPLY_BYTES,
    Message,
    WireError,
    pack,
    unpack_facts,
    unpack_head,
)

# Linux and macOS; elsewhere there are no such processes, and files are decoded where they are asked
SUPPORTED = hasattr(select, "poll") and all(hasattr(os, name) for name in ("waitid", "killpg"))
START_S = 60.0  # of a worker, on a machine that has much else to do
_LAST_MOMENT_S = 0.5  # between the end of its pipe and its own, which says why
# of the environment; a decoder needs nothing that is configured there, and secrets may be
_KEPT = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE")
_SINGLE = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
_PIPE_BYTES = 2**20


class DiedError(Exception):
    """A worker ended, or talks nonsense; the message says how."""


@dataclass(slots=True)
class Budget:
    """Seconds that may be waited for a worker; what its parent does meanwhile is not counted."""

    left_s: float

    def wait(self, fd: int, event: int) -> None:
        """Wait until a pipe is ready.

        Raises:
            TimeoutError: the seconds are used up.
        """
        poll = select.poll()
        poll.register(fd, event)
        begin = time.monotonic()
        ready = poll.poll(max(0.0, self.left_s) * 1000)
        self.left_s -= time.monotonic() - begin
        if not ready:
            raise TimeoutError


class Child:
    """A worker process, the leader of its own group. Used by one thread at a time."""

    def __init__(self, *, jobs: str, memory_bytes: int, alarm_s: float) -> None:
        """Start it and wait until it is ready.

        Raises:
            DiedError: it does not start.
        """
        # not a fork: the heap and the locks of a process with threads would come along
        program = (sys.executable, "-P", "-m", "runtime.media.isolation.worker")
        self._popen = subprocess.Popen(
            [*program, jobs, str(memory_bytes), str(alarm_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd="/",
            env=_environment(),
            start_new_session=True,
        )
        self._ended = False
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        self._to, self._from = self._popen.stdin.fileno(), self._popen.stdout.fileno()
        for fd in (self._to, self._from):
            os.set_blocking(fd, False)
            _widen(fd)
        try:
            self._receive(Budget(START_S))
        except BaseException:
            self.kill()
            raise

    @property
    def pid(self) -> int:
        """Its number, and its group's."""
        return self._popen.pid

    def is_alive(self) -> bool:
        """Whether it can be asked."""
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT  # not reaped: its number stays its own
        return not self._ended and os.waitid(os.P_PID, self._popen.pid, flags) is None

    def ask(self, request: Message, budget: Budget) -> Iterator[Message]:
        """What it answers, the last message among it.

        Raises:
            TimeoutError: the budget is used up.
            DiedError: it ended, or what came is no message.
        """
        try:
            for part in pack(request):
                self._write(memoryview(part), budget)
            while True:
                message = self._receive(budget)
                yield message
                if message.kind != "part":
                    return
        except WireError as error:
            raise DiedError(f"its decoder answered {error}") from None

    def kill(self) -> None:
        """End it and whatever it started, and reap it; a second time does nothing."""
        if self._ended:
            return
        self._ended = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()
        for pipe in (self._popen.stdin, self._popen.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _write(self, part: memoryview, budget: Budget) -> None:
        while part:
            budget.wait(self._to, select.POLLOUT)
            try:
                part = part[os.write(self._to, part) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise self._died() from None

    def _receive(self, budget: Budget) -> Message:
        kind, facts_bytes, data_bytes = unpack_head(self._read(HEAD.size, budget))
        if data_bytes > MAX_REPLY_BYTES:
            raise WireError(f"{data_bytes} bytes")
        facts = unpack_facts(self._read(facts_bytes, budget))
        return Message(kind, facts, self._read(data_bytes, budget))

    def _read(self, size: int, budget: Budget) -> bytearray:
        buffer = bytearray(size)
        rest = memoryview(buffer)
        while rest:
            budget.wait(self._from, select.POLLIN)
            try:
                count = os.readv(self._from, [rest])
            except BlockingIOError:
                continue
            if not count:
                raise self._died()
            rest = rest[count:]
        return buffer

    def _died(self) -> DiedError:
        ends = time.monotonic() + _LAST_MOMENT_S
        while self.is_alive() and time.monotonic() < ends:
            time.sleep(0.005)
        self.kill()  # it may have closed its pipe only
        code = self._popen.returncode
        how = f"signal {-code}, {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return DiedError(f"its decoder ended by {how}")


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
    return {**kept, **_SINGLE, "PYTHONPATH": path}


def _widen(fd: int) -> None:
    """Fewer turns for megabytes; the system may refuse."""
    import fcntl

    with contextlib.suppress(OSError, AttributeError):
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

"""A server of a peer while a block runs: its port, its first right answer, its whole tree."""

import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from benchmarks.children import PROJECT, environment_without_settings
from benchmarks.errors import BenchmarkError
from benchmarks.peers.tree import cpu_seconds, descendants, pss_bytes

HOST = "127.0.0.1"
POLL_S = 0.02
END_S = 15.0
REQUEST_TIMEOUT_S = 60.0
MEGABYTE = 1e6
PORT = "{port}"


@dataclass(frozen=True, slots=True)
class Request:
    """A request, and what its answer must be."""

    path: str
    body: bytes
    media_type: str
    check: Callable[[bytes], float]  # returns the agreement; raises BenchmarkError: it is wrong


@dataclass(frozen=True, slots=True)
class Started:
    """A server that answers rightly."""

    keeper: int  # process whose descendants are the server
    port: int
    cold_start_s: float  # from the start of the process to the first right answer
    agreement: float  # of that answer, as its check returned it

    @property
    def cpu_s(self) -> float:
        """Return the CPU time of all processes."""
        return cpu_seconds(descendants(self.keeper))

    @property
    def memory_mb(self) -> float:
        """Return the memory (PSS) of all processes, in MB (10^6 bytes)."""
        return pss_bytes(descendants(self.keeper)) / MEGABYTE

    @property
    def processes(self) -> int:
        """Return how many processes there are."""
        return len(descendants(self.keeper))


@contextmanager
def started(
    command: Sequence[str],
    environment: Mapping[str, str],
    request: Request,
    *,
    start_timeout_s: float,
    life_s: float,
) -> Iterator[Started]:
    """Run a server until the block ends; all of its processes end with the block.

    Args:
        command: "{port}" in it is replaced by a port that the system says is free.
        environment: variables beside those of this process, of which no setting is passed on.
        request: sent until it is answered; the answer is checked.
        start_timeout_s: for the first answer with status 200.
        life_s: after which the processes are ended whatever happens here.

    Raises:
        BenchmarkError: it ends, does not answer in time, or answers wrongly; quotes its log.
    """
    port = free_port()
    words = [word.replace(PORT, str(port)) for word in command]
    with keeping(words, environment, life_s) as running:
        end = running.start + start_timeout_s
        agreement, cold_start_s = _wait(running, port, request, end)
        yield Started(running.process.pid, port, cold_start_s - running.start, agreement)


@dataclass(frozen=True, slots=True)
class Running:
    """A command that a keeper runs."""

    process: "subprocess.Popen[str]"  # the keeper
    start: float  # of the command, in s of time.monotonic
    log: IO[bytes]

    @property
    def tail(self) -> str:
        """Return the end of what the command printed."""
        size = os.fstat(self.log.fileno()).st_size
        text = os.pread(self.log.fileno(), 1000, max(0, size - 1000))
        return text.decode(errors="replace").strip()


@contextmanager
def keeping(
    command: Sequence[str], environment: Mapping[str, str], life_s: float
) -> Iterator[Running]:
    """Run a command until the block ends; all of its processes end with the block.

    Args:
        command: to run.
        environment: variables beside those of this process, of which no setting is passed on.
        life_s: after which the processes are ended whatever happens here.
    """
    keeper = [sys.executable, "-m", "benchmarks.peers.keeper", str(life_s), *command]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            keeper,
            cwd=PROJECT,
            env={**environment_without_settings(), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            assert process.stdout is not None
            yield Running(process, float(process.stdout.readline() or "nan"), log)
        finally:
            _end(process)


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as one:
        one.bind((HOST, 0))
        port: int = one.getsockname()[1]
        return port


def ask(port: int, request: Request) -> tuple[int, bytes]:
    """Send a request; return the status and the body."""
    connection = http.client.HTTPConnection(HOST, port, timeout=REQUEST_TIMEOUT_S)
    try:
        headers = {"Content-Type": request.media_type}
        connection.request("POST", request.path, request.body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def _wait(running: Running, port: int, request: Request, end: float) -> tuple[float, float]:
    """Ask until the answer is 200 and right; return the agreement and the time."""
    status, body = 0, b""
    while time.monotonic() < end:
        if running.process.poll() is not None:
            code = running.process.returncode
            raise BenchmarkError(f"the server ended with {code}: {running.tail}")
        try:
            status, body = ask(port, request)
        except (OSError, http.client.HTTPException):
            time.sleep(POLL_S)
            continue
        if status == 200:
            now = time.monotonic()
            return request.check(body), now
        time.sleep(POLL_S)
    answer = f"it answered {status}: {body[:300]!r}" if status else "it did not answer"
    raise BenchmarkError(f"the server was not ready in time: {answer}; log: {running.tail}")


def _end(process: subprocess.Popen[str]) -> None:
    """End the keeper, which ends all that it started; without it, end them here."""
    process.terminate()
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        for pid in descendants(process.pid):
            _kill(pid)
        process.kill()
        process.wait()
    finally:
        if process.stdout is not None:
            process.stdout.close()


def _kill(pid: int) -> None:
    try:
        os.kill(pid, 9)
    except ProcessLookupError:
        return

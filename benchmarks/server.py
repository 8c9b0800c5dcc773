"""The server as a process: how soon it is ready, how much memory it takes in use."""

import http.client
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmarks.children import PROJECT
from benchmarks.errors import BenchmarkError

HOST = "127.0.0.1"
READY = "/v2/health/ready"
START_TIMEOUT_S = 60
REQUEST_TIMEOUT_S = 60
POLL_S = 0.01
ROUNDS = 5  # of every golden file of every model
KILOBYTE, MEGABYTE = 1024, 1e6  # the kernel's kB are 1024 bytes
_LISTENING = re.compile(r"listening on http://[^\n]*:(\d+)\n")
_FIELD = re.compile(r"^(VmRSS|VmHWM):\s*(\d+) kB$", re.MULTILINE)
# measured at its defaults, whatever the caller's shell sets for his own server
_SETTINGS = ("PORT", "MAX_UPLOAD_SIZE", "CORS_ORIGINS", "TIMEOUT")

Media = Mapping[str, Sequence[bytes]]  # encoded files by model id


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of the server's process at one moment, in MB (10^6 bytes)."""

    resident_mb: float  # VmRSS
    peak_mb: float  # VmHWM


@dataclass(frozen=True, slots=True)
class ServerReport:
    """The server with every model loaded."""

    ready_s: float  # process start to the first 200 of READY, the median
    at_start: Memory
    used: Memory  # after every model was asked, one request after the other
    used_at_once: Memory  # and after that by `clients` at the same time
    clients: int


def measure_server(
    artifacts: Path, media: Media, *, process_starts: int, clients: int
) -> ServerReport:
    """Start the server, ask every model through HTTP, read its memory.

    Args:
        artifacts: the directory to serve; seeded weights are allowed.
        media: what to ask each model with.
        process_starts: of the server; the last one is asked.
        clients: requests at a time, in the last part.

    Raises:
        BenchmarkError: the server does not start or does not answer with 200.
    """
    ready_s = []
    for _ in range(process_starts - 1):
        with serving(artifacts) as server:
            ready_s.append(server.ready_s)
    requests = [(model, data) for model, files in media.items() for data in files] * ROUNDS
    with serving(artifacts) as server:
        at_start = read_memory(server.pid)
        for model, data in requests:
            _ask(server.port, model, data)
        used = read_memory(server.pid)
        with ThreadPoolExecutor(clients) as pool:
            list(pool.map(lambda request: _ask(server.port, *request), requests))
        used_at_once = read_memory(server.pid)
    median_s = statistics.median([*ready_s, server.ready_s])
    return ServerReport(median_s, at_start, used, used_at_once, clients)


def read_memory(pid: int) -> Memory:
    """Memory of a process, from /proc.

    Raises:
        BenchmarkError: there is no such process, or no /proc.
    """
    path = Path(f"/proc/{pid}/status")
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BenchmarkError(f"{path} cannot be read ({error.strerror}); Linux has it") from error
    found = {name: int(value) * KILOBYTE / MEGABYTE for name, value in _FIELD.findall(text)}
    return Memory(resident_mb=found["VmRSS"], peak_mb=found["VmHWM"])


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    pid: int
    port: int
    ready_s: float


@contextmanager
def serving(artifacts: Path) -> Iterator[Server]:
    """A server until the block ends.

    Raises:
        BenchmarkError: it ends, or is not ready in START_TIMEOUT_S; with what it said.
    """
    command = [sys.executable, "-m", "serve", "--artifacts", str(artifacts.resolve())]
    command += ["--host", HOST, "--port", "0"]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as log:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=PROJECT, env=_environment(), stdout=subprocess.DEVNULL, stderr=log
        )
        try:
            port = _wait(process, log, start)
            yield Server(process.pid, port, time.perf_counter() - start)
        finally:
            _stop(process)


def _environment() -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in _SETTINGS and not name.startswith("SLIPWAY_")
    }
    # refusing untrained weights is for people; here the report names them
    return {**kept, "SLIPWAY_ALLOW_SEEDED": "1"}


def _wait(process: subprocess.Popen[bytes], log: IO[str], start: float) -> int:
    """The port, once READY answers 200 there."""
    port = None
    while time.perf_counter() - start < START_TIMEOUT_S:
        if process.poll() is not None:
            raise BenchmarkError(f"the server ended with {process.returncode}: {_read(log)}")
        port = port or _port(log)
        if port is not None and _is_ready(port):
            return port
        time.sleep(POLL_S)
    raise BenchmarkError(f"the server was not ready after {START_TIMEOUT_S} s: {_read(log)}")


def _port(log: IO[str]) -> int | None:
    found = _LISTENING.search(_read(log))
    return int(found[1]) if found else None


def _read(log: IO[str]) -> str:
    # the child writes at the offset of the shared descriptor: read without moving it
    return os.pread(log.fileno(), 100_000, 0).decode(errors="replace")


def _is_ready(port: int) -> bool:
    try:
        status, _ = _request(port, "GET", READY)
    except OSError:
        return False
    return status == 200


def _ask(port: int, model: str, data: bytes) -> None:
    path = f"/v1/models/{model}"
    status, body = _request(port, "POST", path, data)
    if status != 200:
        raise BenchmarkError(f"POST {path} answered {status}: {body[:300]!r}")


def _request(port: int, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    # not urllib: it would send a request to this host through the proxy of the environment
    connection = http.client.HTTPConnection(HOST, port, timeout=REQUEST_TIMEOUT_S)
    headers = {"Content-Type": "application/octet-stream"} if body is not None else {}
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

"""Measure the server as a process: the time until it is ready, and its memory in use."""

import http.client
import json
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
from typing import IO, Any

from benchmarks.children import PROJECT, environment_without_settings
from benchmarks.errors import BenchmarkError

HOST = "127.0.0.1"
READY = "/v2/health/ready"
START_TIMEOUT_S = 60
REQUEST_TIMEOUT_S = 60
POLL_S = 0.01
ROUNDS = 5  # of requests: each with every golden file of every model
KILOBYTE, MEGABYTE = 1024, 1e6  # the kernel's kB are 1024 bytes
_LOADED = "serve: ready\n"  # all workers of the server have loaded their models
_REFUSED = "serve: not ready: "  # begins the line of a model that cannot be served
_LISTENING = re.compile(r"listening on http://[^\n]*:(\d+)\n")
_FIELD = re.compile(r"^(VmRSS|VmHWM):\s*(\d+) kB$", re.MULTILINE)
# speed and memory do not depend on the training, and the report says which weights are untrained;
# an answer that was stored says nothing of either
_DEFAULTS = {"SLIPWAY_ALLOW_SEEDED": "1", "SLIPWAY_CACHE": "none"}

Media = Mapping[str, Sequence[bytes]]  # encoded files by model id


@dataclass(frozen=True, slots=True)
class Memory:
    """The memory of a process at one moment, in MB (10^6 bytes)."""

    resident_mb: float  # VmRSS
    peak_mb: float  # VmHWM


@dataclass(frozen=True, slots=True)
class ServerReport:
    """The measurements of a server that has loaded its models."""

    models: tuple[str, ...]
    listening_s: float  # median; from the start of the process to the line that names its port
    ready_s: float  # median; from the start of the process to the first 200 of READY
    at_start: Memory
    used: Memory  # after requests to every model, one at a time
    used_at_once: Memory  # after the same requests by `clients` clients at once
    clients: int


def measure_server(
    artifacts: Path, media: Media, *, process_starts: int, clients: int
) -> ServerReport:
    """Start the server, send requests to every model, read its memory.

    Args:
        artifacts: the directory to serve; untrained weights are allowed.
        media: the files that each model is asked with.
        process_starts: number of starts of the server; the last one gets the requests.
        clients: number of parallel requests in the last part.

    Raises:
        BenchmarkError: the server does not start, or an answer is not 200.
    """
    starts = []
    for _ in range(process_starts - 1):
        with serving(artifacts) as server:
            starts.append(server)
    requests = [(model, data) for model, files in media.items() for data in files] * ROUNDS
    with serving(artifacts) as server:
        at_start = read_memory(server.pid)
        for model, data in requests:
            ask(server.port, model, data)
        used = read_memory(server.pid)
        with ThreadPoolExecutor(clients) as pool:
            list(pool.map(lambda request: ask(server.port, *request), requests))
        used_at_once = read_memory(server.pid)
    starts.append(server)
    return ServerReport(
        models=tuple(media),
        listening_s=statistics.median(start.listening_s for start in starts),
        ready_s=statistics.median(start.ready_s for start in starts),
        at_start=at_start,
        used=used,
        used_at_once=used_at_once,
        clients=clients,
    )


def read_memory(pid: int) -> Memory:
    """Read the memory of a process from /proc.

    Raises:
        BenchmarkError: the process does not exist, or the system has no /proc.
    """
    path = Path(f"/proc/{pid}/status")
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BenchmarkError(f"{path} cannot be read ({error.strerror}); Linux has it") from error
    fields_mb = {name: int(value) * KILOBYTE / MEGABYTE for name, value in _FIELD.findall(text)}
    return Memory(resident_mb=fields_mb["VmRSS"], peak_mb=fields_mb["VmHWM"])


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    pid: int
    port: int
    listening_s: float
    ready_s: float


@contextmanager
def serving(artifacts: Path, settings: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Run a server until the block ends, with these settings and else the defaults.

    Raises:
        BenchmarkError: it ends, or is not ready within START_TIMEOUT_S; quotes its log.
    """
    command = [sys.executable, "-m", "serve", "--artifacts", str(artifacts.resolve())]
    command += ["--host", HOST, "--port", "0"]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as log:
        start = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=PROJECT,
            env={**environment_without_settings(), **_DEFAULTS, **(settings or {})},
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
        try:
            port, listening_s = _wait(process, log, start)
            yield Server(process.pid, port, listening_s, time.perf_counter() - start)
        finally:
            _stop(process)


def _wait(process: subprocess.Popen[bytes], log: IO[str], start: float) -> tuple[int, float]:
    """Wait until READY answers 200; return the port, and the seconds until it was announced."""
    port, listening_s = None, 0.0
    while time.perf_counter() - start < START_TIMEOUT_S:
        if process.poll() is not None:
            raise BenchmarkError(f"the server ended with {process.returncode}: {_read(log)}")
        if _REFUSED in _read(log):
            raise BenchmarkError(f"the server refuses a model: {_read(log)}")
        if port is None and (port := _port(log)) is not None:
            listening_s = time.perf_counter() - start
        if port is not None and _is_ready(port) and _LOADED in _read(log):
            return port, listening_s
        time.sleep(POLL_S)
    raise BenchmarkError(f"the server was not ready after {START_TIMEOUT_S} s: {_read(log)}")


def _port(log: IO[str]) -> int | None:
    line = _LISTENING.search(_read(log))
    return int(line[1]) if line else None


def _read(log: IO[str]) -> str:
    # the server writes at the offset of the shared descriptor: pread does not move it
    return os.pread(log.fileno(), 100_000, 0).decode(errors="replace")


def _is_ready(port: int) -> bool:
    try:
        status, _ = _request(port, "GET", READY)
    except OSError:
        return False
    return status == 200


def ask(port: int, model: str, data: bytes) -> None:
    """Ask a model.

    Raises:
        BenchmarkError: the status is not 200.
    """
    path = f"/v1/models/{model}"
    status, body = _request(port, "POST", path, data)
    if status != 200:
        raise BenchmarkError(f"POST {path} answered {status}: {body[:300]!r}")


def ask_again(port: int, model: str, data: bytes) -> bool:
    """Ask a model, as one of more clients than the server may have; return whether it answered.

    Raises:
        BenchmarkError: the status is none of 200, 429 and 503.
    """
    path = f"/v1/models/{model}"
    status, body = _request(port, "POST", path, data)
    if status not in (200, 429, 503):
        raise BenchmarkError(f"POST {path} answered {status}: {body[:300]!r}")
    return status == 200


def request_json(
    port: int, method: str, path: str, *, headers: Mapping[str, str] | None = None
) -> Any:
    """Return the JSON of an answer.

    Raises:
        BenchmarkError: its status is not 200.
    """
    status, body = _request(port, method, path, headers=headers)
    if status != 200:
        raise BenchmarkError(f"{method} {path} answered {status}: {body[:300]!r}")
    return json.loads(body)


def _request(
    port: int,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, bytes]:
    # urllib would send the request to the proxy that the environment names
    connection = http.client.HTTPConnection(HOST, port, timeout=REQUEST_TIMEOUT_S)
    media_type = {"Content-Type": "application/octet-stream"} if body is not None else {}
    try:
        connection.request(method, path, body, {**media_type, **(headers or {})})
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

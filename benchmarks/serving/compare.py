"""Measure the bare loop and the server in turns, and compare them."""

import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.errors import BenchmarkError
from benchmarks.server import serving
from benchmarks.serving.bare_loop import Work, run_bare_loop
from benchmarks.serving.load import Job, Load, run_load

_TICKS = os.sysconf("SC_CLK_TCK")
WARM_UP_S = 1.0
Protocol = Literal["v1", "v2"]


@dataclass(frozen=True, slots=True)
class Round:
    """One turn: the bare loop, then the server with the same file."""

    bare: Work
    load: Load
    cpu_ms: float  # of the server per request

    @property
    def throughput_ratio(self) -> float:
        """Return the requests per second of the server as a share of the bare loop's."""
        return self.load.per_s / self.bare.per_s

    @property
    def extra_cpu_ms(self) -> float:
        """Return the CPU time of the server over that of the bare loop, per request."""
        return self.cpu_ms - self.bare.cpu_ms


@dataclass(frozen=True, slots=True)
class Comparison:
    """The rounds of one model and number of clients."""

    model: str
    workers: int  # processes of the server
    clients: int
    rounds: tuple[Round, ...]

    @property
    def throughput_ratio(self) -> float:
        """Return the median of the rounds."""
        return statistics.median(one.throughput_ratio for one in self.rounds)

    @property
    def extra_cpu_ms(self) -> float:
        """Return the median of the rounds."""
        return statistics.median(one.extra_cpu_ms for one in self.rounds)


def compare(
    artifacts: Path,
    model: str,
    file: Path,
    *,
    workers: int = 1,
    clients: Sequence[int],
    threads: int,
    rounds: int,
    seconds: float,
    protocol: Protocol = "v1",
) -> tuple[Comparison, ...]:
    """Compare the server with the bare loop, for each number of clients.

    Args:
        artifacts: the directory to serve.
        model: id.
        file: body of every request.
        workers: processes of the server.
        clients: numbers of clients at once.
        threads: of the bare loop.
        rounds: turns of loop and server; the result holds all.
        seconds: of each turn.
        protocol: v1: POST /v1/models/<model>, whose answer is JSON of the task; v2: a raw request
            of the Open Inference Protocol, whose answer has the outputs as bytes.

    Raises:
        BenchmarkError: the server does not start, or an answer is not 200.
    """
    artifact = artifacts / model
    results: dict[int, list[Round]] = {count: [] for count in clients}
    with serving(artifacts, _settings(workers)) as server:
        path, headers = request_of(model, protocol)
        url = f"http://127.0.0.1:{server.port}{path}"
        run_load(Job(url, str(file), max(clients), WARM_UP_S, headers))
        for _ in range(rounds):
            for count in clients:
                bare = run_bare_loop(artifact, file, threads=threads, seconds=seconds)
                before_s = cpu_seconds(server.pid)
                load = run_load(Job(url, str(file), count, seconds, headers))
                cpu_ms = (cpu_seconds(server.pid) - before_s) / load.requests * 1000
                results[count].append(Round(bare, load, cpu_ms))
    return tuple(Comparison(model, workers, count, tuple(results[count])) for count in clients)


def request_of(model: str, protocol: Protocol) -> tuple[str, dict[str, str]]:
    """Return the path and the headers of the requests."""
    if protocol == "v1":
        return f"/v1/models/{model}", {}
    return f"/v2/models/{model}/infer", {"Inference-Header-Content-Length": "0"}


def _settings(workers: int) -> dict[str, str]:
    """Return the settings of the server; without the cache, which would run nothing again."""
    return {"WORKERS": str(workers), "SLIPWAY_CACHE": "none"}


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process and its children have used.

    Raises:
        BenchmarkError: the process does not exist, or the system has no /proc.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except OSError as error:
        raise BenchmarkError(f"/proc/{pid}/stat cannot be read: {error.strerror}") from error
    fields = text.rpartition(")")[2].split()  # the name in parentheses may hold blanks
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    own_s = (int(fields[11]) + int(fields[12])) / _TICKS
    return own_s + sum(cpu_seconds(int(child)) for child in children)

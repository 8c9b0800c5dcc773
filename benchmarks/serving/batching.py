"""Measure the server with and without batches in turns: what it gains when requests share runs."""

import json
import statistics
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.server import Server, serving
from benchmarks.serving.compare import WARM_UP_S, Protocol, cpu_seconds, request_of
from benchmarks.serving.load import Job, Load, run_load

# the requests of a load are equal, and none of them may be refused
JOINED = {"SLIPWAY_CACHE": "none", "SLIPWAY_QUEUE_SECONDS": "60"}
ALONE = {**JOINED, "SLIPWAY_MAX_BATCH": "0"}


@dataclass(frozen=True, slots=True)
class Turn:
    """One load on one of the two servers."""

    load: Load
    cpu_ms: float  # of the server per request


@dataclass(frozen=True, slots=True)
class Gain:
    """The turns of one model and number of clients, in pairs."""

    model: str
    clients: int
    alone: tuple[Turn, ...]
    joined: tuple[Turn, ...]
    rows_per_run: float  # of the second server, over all its requests; 0.0: not told

    @property
    def throughput_ratio(self) -> float:
        """Return the requests per second with batches over those without: the median of pairs."""
        pairs = zip(self.alone, self.joined, strict=True)
        return statistics.median(b.load.per_s / a.load.per_s for a, b in pairs)

    @property
    def cpu_ratio(self) -> float:
        """Return the CPU time of a request with batches over that without: the median of pairs."""
        pairs = zip(self.alone, self.joined, strict=True)
        return statistics.median(b.cpu_ms / a.cpu_ms for a, b in pairs)


def compare_batching(
    artifacts: Path,
    model: str,
    file: Path,
    *,
    clients: Sequence[int],
    rounds: int,
    seconds: float,
    protocol: Protocol = "v1",
) -> tuple[Gain, ...]:
    """Compare two servers, one of which runs each request alone; their loads take turns.

    Args:
        artifacts: the directory to serve.
        model: id.
        file: body of every request.
        clients: numbers of clients at once.
        rounds: pairs of turns.
        seconds: of each turn.
        protocol: of the requests, as for `compare`; only v2 tells the rows of a run.

    Raises:
        BenchmarkError: a server does not start, or an answer is not 200.
    """
    with serving(artifacts, ALONE) as alone, serving(artifacts, JOINED) as joined:
        gains = []
        for count in clients:
            turns: dict[int, list[Turn]] = {alone.port: [], joined.port: []}
            before = _counts(joined, model)
            for number in range(-1, rounds):  # the first one warms up
                for server in (alone, joined):
                    turn = _turn(server, model, file, count, seconds, protocol, number < 0)
                    if number >= 0:
                        turns[server.port].append(turn)
            rows, runs = (b - a for a, b in zip(before, _counts(joined, model), strict=True))
            per_run = rows / runs if runs else 0.0
            gains.append(
                Gain(
                    model,
                    count,
                    alone=tuple(turns[alone.port]),
                    joined=tuple(turns[joined.port]),
                    rows_per_run=per_run,
                )
            )
    return tuple(gains)


def _turn(
    server: Server,
    model: str,
    file: Path,
    clients: int,
    seconds: float,
    protocol: Protocol,
    warms_up: bool,
) -> Turn:
    path, headers = request_of(model, protocol)
    url = f"http://127.0.0.1:{server.port}{path}"
    before_s = cpu_seconds(server.pid)
    load = run_load(Job(url, str(file), clients, WARM_UP_S if warms_up else seconds, headers))
    return Turn(load, (cpu_seconds(server.pid) - before_s) / load.requests * 1000)


def _counts(server: Server, model: str) -> tuple[int, int]:
    """Return the rows and the runs of a model that the server counts: those of protocol v2."""
    url = f"http://127.0.0.1:{server.port}/v2/models/{model}/stats"
    with urllib.request.urlopen(url, timeout=20) as answer:
        (entry,) = json.load(answer)["model_stats"]
    return entry["inference_count"], entry["execution_count"]

"""Measure the servers in turns: A B C, C B A. Each turn starts a server, and ends it."""

import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

from benchmarks.errors import BenchmarkError
from benchmarks.peers.load import send
from benchmarks.peers.process import Request, Started, started
from benchmarks.peers.table import Peer
from benchmarks.serving.bare_loop import Work
from benchmarks.serving.load import Load

WARM_UP_S = 2.0


@dataclass(frozen=True, slots=True)
class Effort:
    """Number and length of the turns."""

    rounds: int
    seconds: float  # of each load
    clients: tuple[int, ...]
    start_timeout_s: float


@dataclass(frozen=True, slots=True)
class Loaded:
    """One load in one turn."""

    load: Load
    cpu_s: float  # of all processes of the server per request
    memory_mb: float  # PSS of all processes, right after


@dataclass(slots=True)
class Turns:
    """Collect the measurements of one server."""

    cold_start_s: list[float] = field(default_factory=list)
    agreement: list[float] = field(default_factory=list)
    loads: dict[int, list[Loaded]] = field(default_factory=dict)  # by number of clients
    error: str = ""  # why there are no figures


@dataclass(frozen=True, slots=True)
class Start:
    """Tell how a server is started and asked."""

    peer: Peer
    command: tuple[str, ...]
    variables: Mapping[str, str]
    request: Request


def measure(
    starts: Mapping[str, Start], run_loop: Callable[[float], Work], effort: Effort
) -> tuple[dict[str, Turns], list[Work]]:
    """Measure the servers of one model in every round, and the bare loop before them.

    A server that fails is left out of the later rounds.

    Args:
        starts: by key; its order is that of the turns.
        run_loop: runs the bare loop for a number of seconds.
        effort: of the rounds.
    """
    turns = {key: Turns() for key in starts}
    loops = []
    for number in range(effort.rounds):
        loops.append(run_loop(effort.seconds))
        # every second round in reverse order, so that none always follows the same one
        order = list(starts.items())
        for key, start in order if number % 2 == 0 else reversed(order):
            if not turns[key].error:
                print(f"round {number + 1}: {key}", file=sys.stderr, flush=True)
                take_turn(start, effort, turns[key])
    return turns, loops


def take_turn(start: Start, effort: Effort, turns: Turns) -> None:
    """Start a server, check its answer, load it, and note what was measured, or the error."""
    life_s = effort.start_timeout_s + 60 + len(effort.clients) * (effort.seconds + 60)
    with ExitStack() as stack:
        try:
            server = stack.enter_context(
                started(
                    start.command,
                    start.variables,
                    start.request,
                    start_timeout_s=effort.start_timeout_s,
                    life_s=life_s,
                )
            )
            turns.cold_start_s.append(server.cold_start_s)
            turns.agreement.append(server.agreement)
            for clients, loaded in _loads(server, start.request, effort):
                turns.loads.setdefault(clients, []).append(loaded)
        except (BenchmarkError, OSError, subprocess.TimeoutExpired) as error:
            turns.error = " ".join(str(error).split())[:500]
            print(f"  {turns.error}", file=sys.stderr, flush=True)


def _loads(server: Started, request: Request, effort: Effort) -> Iterator[tuple[int, Loaded]]:
    with suppress(BenchmarkError):  # what fails fails again below, where it counts
        send(server.port, request, max(effort.clients), min(WARM_UP_S, effort.seconds))
    for clients in effort.clients:
        before_s = server.cpu_s
        load = send(server.port, request, clients, effort.seconds)
        cpu_s = (server.cpu_s - before_s) / load.requests
        yield clients, Loaded(load, cpu_s, server.memory_mb)


def median(values: Sequence[float]) -> float | None:
    """Return the median; None of nothing."""
    return statistics.median(values) if values else None

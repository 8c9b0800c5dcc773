"""The section "peers" of the report: its rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.peers.engines.rows import EngineRow
from benchmarks.peers.environments import Environment
from benchmarks.peers.measure import Loaded, Turns, median
from benchmarks.peers.table import Peer
from benchmarks.peers.verdicts import Share, Verdict
from benchmarks.schema.conditions import Conditions
from benchmarks.serving.bare_loop import Work

Json = Mapping[str, Any]  # a row of an earlier measurement


@dataclass(frozen=True, slots=True)
class ServerRow:
    """One server, model and number of clients; the schema of the report says what each means."""

    peer: str
    version: str
    model: str
    settings: Mapping[str, str]
    concurrency: int
    turns: int
    requests_per_second: float | None
    requests_per_second_minimum: float | None
    requests_per_second_maximum: float | None
    requests_per_second_turns: Sequence[float]  # in the order of the rounds
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    cpu_seconds_per_request: float | None
    memory_mb: float | None
    cold_start_seconds: float | None
    installed_mb: float | None
    verified: bool
    answer: str
    error: str | None


@dataclass(frozen=True, slots=True)
class BareRow:
    """The bare loop of one model: the medians of the rounds."""

    model: str
    threads: int
    requests_per_second: float
    cpu_seconds_per_request: float


@dataclass(frozen=True, slots=True)
class Peers:
    """The section."""

    conditions: Conditions
    bare_loop: Sequence[BareRow | Json]
    servers: Sequence[ServerRow | Json]
    verdicts: Sequence[Verdict | Json]
    shares: Sequence[Share | Json]
    engines: Sequence[EngineRow | Json]
    notes: Sequence[str]


def server_rows(
    peer: Peer, environment: Environment | None, turns: Turns, clients: Sequence[int]
) -> Iterator[ServerRow]:
    """Yield the rows of one server: one for each number of clients.

    A server whose answer was wrong once, or that failed, has no figures.
    """
    package = peer.package.lower()
    version = environment.versions.get(package, "") if environment else ""
    loads = {} if turns.error else turns.loads
    for count in clients:
        yield _row(peer, version, environment, turns, count, loads.get(count, []))


def _row(
    peer: Peer,
    version: str,
    environment: Environment | None,
    turns: Turns,
    clients: int,
    loads: Sequence[Loaded],
) -> ServerRow:
    rates = [one.load.per_s for one in loads]
    verified = bool(loads) and not turns.error
    kind = "IoU of the foreground" if peer.answer == "cut-out" else "cosine of the embedding"
    return ServerRow(
        peer=peer.name,
        version=version,
        model=peer.model,
        settings=peer.settings,
        concurrency=clients,
        turns=len(loads),
        requests_per_second=median(rates),
        requests_per_second_minimum=min(rates, default=None),
        requests_per_second_maximum=max(rates, default=None),
        requests_per_second_turns=rates if verified else (),
        p50_ms=median([one.load.p50_ms for one in loads]),
        p95_ms=median([one.load.p95_ms for one in loads]),
        p99_ms=median([one.load.p99_ms for one in loads]),
        cpu_seconds_per_request=median([one.cpu_s for one in loads]),
        memory_mb=median([one.memory_mb for one in loads]),
        cold_start_seconds=median(turns.cold_start_s) if verified else None,
        installed_mb=environment.installed_mb if environment else None,
        verified=verified,
        answer=f"{kind} {min(turns.agreement):.4f}" if verified else "",
        error=None if verified else turns.error or "not measured",
    )


def bare_row(model: str, threads: int, works: Sequence[Work]) -> BareRow:
    """Return the row of a bare loop, at least one round."""
    per_s, cpu_ms = median([one.per_s for one in works]), median([one.cpu_ms for one in works])
    return BareRow(model, threads, per_s or 0.0, (cpu_ms or 0.0) / 1000)

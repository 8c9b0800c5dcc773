"""Start the server in a cgroup, ask each model some times, and note memory and latency."""

import http.client
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from benchmarks.limits.cgroup import Cgroup, limited
from benchmarks.peers.process import HOST, Running, free_port, keeping

READY = "/v2/health/ready"
MEGABYTE = 1e6
POLL_S = 0.05
SAMPLE_S = 0.05
SETTLE_S = 3.0  # in which a server that has loaded what it can becomes ready, or does not
SETTINGS = {"SLIPWAY_ALLOW_SEEDED": "1", "SLIPWAY_CACHE": "none"}
LOADED = "serve: ready"  # the line of a server that has loaded what it can

Outcome = Literal["served", "not ready", "killed", "failed"]
Media = Mapping[str, bytes]  # an encoded file by model id


@dataclass(frozen=True, slots=True)
class Case:
    """Models, and the limits of the cgroup."""

    media: Media
    memory_mib: int
    cpus: float


@dataclass(frozen=True, slots=True)
class Effort:
    """Limit the time of a case."""

    ready_s: float
    asking_s: float  # after which no further request is sent
    requests: int  # to each model
    request_s: float


@dataclass(frozen=True, slots=True)
class LimitRow:
    """One case; the schema of the report says what each field means."""

    models: tuple[str, ...]
    memory_mib: int
    cpus: float
    settings: Mapping[str, str]
    clients: int
    ready_seconds: float | None
    memory_mb: float | None
    peak_mb: float | None
    requests_per_second: float | None
    p50_ms: float | None
    p99_ms: float | None
    answered: int
    refused: int
    outcome: Outcome
    detail: str


@dataclass(slots=True)
class Notes:
    """Collect what one case shows."""

    ready_s: float | None = None
    memory_bytes: int = 0
    peak_bytes: int = 0
    asking_s: float = 0.0
    milliseconds: list[float] = field(default_factory=list)
    refused: int = 0
    oom_kills: int = 0
    problem: str = ""


def measure_case(artifacts: Path, case: Case, effort: Effort) -> LimitRow:
    """Measure one case.

    Raises:
        BenchmarkError: a cgroup cannot be made here.
    """
    notes = Notes()
    with (
        _folder_of(artifacts, tuple(case.media)) as folder,
        limited(case.memory_mib, case.cpus) as group,
    ):
        port = free_port()
        command = [sys.executable, "-m", "serve", "--artifacts", str(folder)]
        command += ["--host", HOST, "--port", str(port)]
        life_s = effort.ready_s + effort.asking_s + effort.request_s + 60
        with keeping(group.command(command), SETTINGS, life_s) as running, _sampling(group, notes):
            notes.ready_s = _wait(running, port, effort.ready_s, notes)
            if notes.ready_s is not None:
                _ask_all(running, port, case.media, effort, notes)
            notes.memory_bytes = group.used_bytes
            notes.peak_bytes = max(notes.peak_bytes, notes.memory_bytes)
        notes.oom_kills = group.oom_kills
    return row_of(case, effort, notes)


def row_of(case: Case, effort: Effort, notes: Notes) -> LimitRow:
    """Return the row of a case."""
    spread = np.percentile(notes.milliseconds, (50, 99)) if notes.milliseconds else None
    answered = len(notes.milliseconds)
    return LimitRow(
        models=tuple(case.media),
        memory_mib=case.memory_mib,
        cpus=case.cpus,
        settings=SETTINGS,
        clients=1,
        ready_seconds=notes.ready_s,
        memory_mb=notes.memory_bytes / MEGABYTE if notes.memory_bytes else None,
        peak_mb=notes.peak_bytes / MEGABYTE if notes.peak_bytes else None,
        requests_per_second=answered / notes.asking_s if notes.asking_s else None,
        p50_ms=float(spread[0]) if spread is not None else None,
        p99_ms=float(spread[1]) if spread is not None else None,
        answered=answered,
        refused=notes.refused,
        outcome=_outcome(notes),
        detail=_detail(effort, notes),
    )


def _outcome(notes: Notes) -> Outcome:
    if notes.oom_kills:
        return "killed"
    if notes.ready_s is None:
        return "not ready"
    return "failed" if notes.problem or not notes.milliseconds else "served"


def _detail(effort: Effort, notes: Notes) -> str:
    parts = [f"oom_kill {notes.oom_kills}"] if notes.oom_kills else []
    if notes.problem:
        parts.append(notes.problem)
    elif notes.ready_s is None:
        parts.append(f"not ready in {effort.ready_s:.0f} s")
    return "; ".join(parts)


@contextmanager
def _folder_of(artifacts: Path, models: Sequence[str]) -> Iterator[Path]:
    """Make a folder with some of the artifacts."""
    with tempfile.TemporaryDirectory(prefix="slipway-limits-") as name:
        for model in models:
            Path(name, model).symlink_to((artifacts / model).resolve())
        yield Path(name)


@contextmanager
def _sampling(group: Cgroup, notes: Notes) -> Iterator[None]:
    """Note the most memory while the block runs."""
    ended = threading.Event()

    def sample() -> None:
        while not ended.wait(SAMPLE_S):
            notes.peak_bytes = max(notes.peak_bytes, group.used_bytes)

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _wait(running: Running, port: int, limit_s: float, notes: Notes) -> float | None:
    """Return the seconds until the server is ready; None: it is not, and the notes say why."""
    loaded_s: float | None = None
    while (now_s := time.monotonic() - running.start) < limit_s:
        if running.process.poll() is not None:
            notes.problem = f"the server ended: {running.tail[-300:]}"
            return None
        try:
            status, body = _request(port, "GET", READY, None, 5.0)
        except (OSError, http.client.HTTPException):
            time.sleep(POLL_S)
            continue
        if status == 200:
            return now_s
        if loaded_s is None and LOADED in running.tail:
            loaded_s = now_s
        if loaded_s is not None and now_s - loaded_s > SETTLE_S:
            notes.problem = f"{READY} answers {status}: {body[:300].decode(errors='replace')}"
            return None
        time.sleep(POLL_S)
    return None


def _ask_all(running: Running, port: int, media: Media, effort: Effort, notes: Notes) -> None:
    """Ask every model in turn, one request at a time."""
    start = time.monotonic()
    for model in list(media) * effort.requests:
        if time.monotonic() - start > effort.asking_s:
            break
        before = time.monotonic()
        try:
            status, body = _request(
                port, "POST", f"/v1/models/{model}", media[model], effort.request_s
            )
        except (OSError, http.client.HTTPException) as error:
            ended = " (the server ended)" if running.process.poll() is not None else ""
            notes.problem = f"{model}: {type(error).__name__}{ended}"
            break
        if status == 200:
            notes.milliseconds.append((time.monotonic() - before) * 1000)
        elif status in (429, 503):
            notes.refused += 1
        else:
            notes.problem = f"{model}: {status} {body[:200].decode(errors='replace')}"
            break
    notes.asking_s = time.monotonic() - start


def _request(
    port: int, method: str, path: str, body: bytes | None, timeout_s: float
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout_s)
    try:
        connection.request(method, path, body, {"Content-Type": "application/octet-stream"})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()

"""Measure the memory of the server by state: at start, each model loaded, evicted, all, idle.

python -m benchmarks.memory --artifacts artifacts
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.errors import BenchmarkError
from benchmarks.output import add_options, check_writable, write_json
from benchmarks.server import MEGABYTE, Server, request_json, serving
from runtime.artifact.schema import to_json
from runtime.errors import SlipwayError

KEY = "benchmark"
SETTINGS = {"SLIPWAY_LAZY": "all", "SLIPWAY_ADMIN_KEY": KEY}
REST_S = 1.0


@dataclass(frozen=True, slots=True)
class State:
    """The memory of the server's process in one state, in MB (10^6 bytes)."""

    name: str
    rss_mb: float
    pss_mb: float
    anonymous_mb: float  # what comes from no file


@dataclass(frozen=True, slots=True)
class Eviction:
    """The memory that a model took and its eviction gave back, in MB of anonymous memory."""

    model: str
    kept_mb: float
    returned_mb: float

    @property
    def share(self) -> float:
        """Return the part that was given back; 1 for a model that keeps less than a megabyte."""
        return self.returned_mb / self.kept_mb if self.kept_mb >= 1 else 1.0


@dataclass(frozen=True, slots=True)
class Report:
    """The states in the order of the measurement, and the evictions."""

    states: tuple[State, ...]
    evictions: tuple[Eviction, ...]


def measure(server: Server, models: Sequence[str]) -> Report:
    """Load and evict each model alone, then load all.

    The first model is loaded and evicted once before: what it then leaves behind, code and caches
    of onnxruntime, later models share.
    """
    states = [read_state(server, "start")]
    _load(server, models[0])
    _clear(server)
    states.append(read_state(server, "one model was loaded and evicted"))
    evictions = []
    for model in models:
        before = states[-1]
        _load(server, model)
        loaded = read_state(server, f"{model} loaded")
        _clear(server)
        evicted = read_state(server, f"{model} evicted")
        states += [loaded, evicted]
        cost_mb = loaded.anonymous_mb - before.anonymous_mb
        evictions.append(Eviction(model, cost_mb, loaded.anonymous_mb - evicted.anonymous_mb))
    for model in models:
        _load(server, model)
    states.append(read_state(server, "all loaded"))
    time.sleep(REST_S)
    _clear(server)
    states.append(read_state(server, "all evicted"))
    return Report(tuple(states), tuple(evictions))


def read_state(server: Server, name: str) -> State:
    """Return the memory of the process as GET /v1/memory answers it."""
    process = request_json(server.port, "GET", "/v1/memory")["process"]
    values = [process[f"{kind}_bytes"] / MEGABYTE for kind in ("rss", "pss", "anonymous")]
    return State(name, *values)


def render(report: Report) -> str:
    """Return the two tables."""
    lines = [f"{'state':46} {'RSS':>7} {'PSS':>7} {'anonymous':>9}  MB"]
    lines += [
        f"{state.name:46} {state.rss_mb:7.1f} {state.pss_mb:7.1f} {state.anonymous_mb:9.1f}"
        for state in report.states
    ]
    lines += ["", f"{'eviction of':46} {'kept':>7} {'back':>7} {'share':>9}"]
    lines += [
        f"{one.model:46} {one.kept_mb:7.1f} {one.returned_mb:7.1f} {one.share:9.0%}"
        for one in report.evictions
    ]
    return "\n".join(lines)


def _load(server: Server, model: str) -> None:
    request_json(server.port, "GET", f"/v1/models/{model}")


def _clear(server: Server) -> None:
    authorization = {"Authorization": f"Bearer {KEY}"}
    request_json(server.port, "POST", "/v1/memory/clear", headers=authorization)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return 1 if the server does not answer, else 0."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.memory",
        description="Measure the memory of the server by state, about half a minute.",
    )
    add_options(parser, quick="measure the first two models alone")
    options = parser.parse_args(arguments)
    try:
        check_writable(options.json)
        with serving(options.artifacts, SETTINGS) as server:
            models: dict[str, Any] = request_json(server.port, "GET", "/v1/memory")["models"]
            report = measure(server, list(models)[: 2 if options.quick else None])
    except (SlipwayError, BenchmarkError) as error:
        print(f"benchmarks.memory: {error}", file=sys.stderr)
        return 1
    print(render(report))
    if options.json:
        write_json(options.json, json.loads(json.dumps(to_json(report))))
    return 0


if __name__ == "__main__":
    sys.exit(main())

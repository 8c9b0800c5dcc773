"""The memory that each model takes, and that its eviction gives back."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.memory.watch import State, Watch, watching
from benchmarks.server import Server, request_json, serving

KEY = "benchmark"
SETTINGS = {"SLIPWAY_LAZY": "all", "SLIPWAY_ADMIN_KEY": KEY}
REST_S = 1.0


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


def measure_evictions(artifacts: Path, models: Sequence[str]) -> tuple[list[State], list[Eviction]]:
    """Load and evict each model alone, then load and evict all.

    Each model is loaded and evicted once before: what it then leaves behind are code and caches of
    libraries, which it finds when it is loaded again.

    Returns:
        The states of the server without models, then with all and again with none; the evictions.
    """
    with serving(artifacts, SETTINGS) as server, watching(server.pid) as watch:
        states = [watch.state("no model")]
        for model in models:
            _load(server, model)
            _clear(server)
        evictions = [_evict(server, watch, model) for model in models]
        for model in models:
            _load(server, model)
        states.append(watch.state(f"{len(models)} models, loaded on demand"))
        time.sleep(REST_S)
        _clear(server)
        states.append(watch.state(f"{len(models)} models, evicted"))
    return states, evictions


def _evict(server: Server, watch: Watch, model: str) -> Eviction:
    """Measure one eviction."""
    before_mb = watch.state("").anonymous_mb
    _load(server, model)
    loaded_mb = watch.state("").anonymous_mb
    _clear(server)
    evicted_mb = watch.state("").anonymous_mb
    return Eviction(model, loaded_mb - before_mb, loaded_mb - evicted_mb)


def _load(server: Server, model: str) -> None:
    request_json(server.port, "GET", f"/v1/models/{model}")


def _clear(server: Server) -> None:
    authorization = {"Authorization": f"Bearer {KEY}"}
    request_json(server.port, "POST", "/v1/memory/clear", headers=authorization)

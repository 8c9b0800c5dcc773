"""The rows of the report about engines."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Latency:
    """Durations in ms."""

    minimum_ms: float
    p25_ms: float
    median_ms: float
    p75_ms: float
    p95_ms: float
    runs: int


@dataclass(frozen=True, slots=True)
class EngineRow:
    """One model in one engine; the schema of the report says what each field means."""

    engine: str
    version: str
    model: str
    precision: str
    threads: int
    latency: Latency | None
    times_ours: float | None
    fidelity: Mapping[str, float]
    golden_cosine: float | None
    size_mb: float | None
    memory_mb: float | None
    installed_mb: float | None
    error: str | None


def summarize(durations: list[float]) -> Latency:
    """Return the quantiles of durations in ms, at least one."""
    p25, p50, p75, p95 = (float(value) for value in np.percentile(durations, (25, 50, 75, 95)))
    return Latency(min(durations), p25, p50, p75, p95, len(durations))

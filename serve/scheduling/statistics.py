"""Count the requests, rows and runs of each version of a model, and the time of each stage."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, TypedDict

from serve.scheduling.graph_run import GraphRun
from serve.scheduling.stopwatch import Stopwatch

_NS = 1_000_000_000
_NOT_ADDED = frozenset(("name", "version", "last_inference", "batch_size", "type", "id"))
MOST_BATCH_SIZES = 64  # that are counted apart; a client chooses them


class DurationJson(TypedDict):
    """The number of times that something happened, and how long it took."""

    count: int
    ns: Annotated[int, "nanoseconds"]


class InferenceJson(TypedDict):
    """The requests of a model, and the time of their stages."""

    success: DurationJson
    fail: DurationJson
    queue: DurationJson
    compute_input: DurationJson
    compute_infer: DurationJson
    compute_output: DurationJson
    cache_hit: DurationJson
    cache_miss: DurationJson


class BatchJson(TypedDict):
    """The runs of one size."""

    batch_size: int
    compute_input: DurationJson
    compute_infer: DurationJson
    compute_output: DurationJson


class MemoryUsageJson(TypedDict):
    """The memory that a model keeps while it is loaded."""

    type: str
    id: Annotated[int, "of the device"]
    byte_size: int


class StatisticsJson(TypedDict):
    """The counters of a version in the form of Triton."""

    name: str
    version: str
    last_inference: Annotated[int, "milliseconds since 1970"]
    inference_count: Annotated[int, "rows"]
    execution_count: Annotated[int, "runs of the graph"]
    inference_stats: InferenceJson
    response_stats: dict[str, Any]
    batch_stats: list[BatchJson]
    memory_usage: list[MemoryUsageJson]


@dataclass(slots=True)
class Duration:
    """The number of times that something happened, and the seconds of all of them."""

    count: float = 0
    seconds: float = 0.0

    def add(self, seconds: float, count: float = 1) -> None:
        """Count one more time, or a part of one."""
        self.count += count
        self.seconds += seconds

    def to_json(self) -> DurationJson:
        """Return the count and the nanoseconds."""
        return {"count": round(self.count), "ns": round(self.seconds * _NS)}


@dataclass(slots=True)
class ModelStatistics:
    """The counters of one version of a model."""

    rows: int = 0
    executions: float = 0.0  # a run of a batch counts for each request by its share of the rows
    last_ms: int = 0  # since 1970, of the last request that was answered
    durations: dict[str, Duration] = field(default_factory=lambda: defaultdict(Duration))
    batches: dict[int, Duration] = field(default_factory=dict)  # runs by the rows in them


class Statistics:
    """The counters of all versions, from the start of the server. Use it on the event loop only."""

    def __init__(self) -> None:
        """Begin at zero."""
        self._versions: dict[tuple[str, str], ModelStatistics] = {}

    def succeed(
        self, model: str, version: str, stopwatch: Stopwatch, runs: Sequence[GraphRun]
    ) -> None:
        """Count a request that was answered.

        Args:
            model: id.
            version: that answered.
            stopwatch: of the request.
            runs: those of the graph that it took, with its share of each.
        """
        entry = self._versions.setdefault((model, version), ModelStatistics())
        entry.last_ms = time.time_ns() // 1_000_000
        for run in runs:
            entry.rows += run.rows
            entry.executions += run.fraction
            size = run.batch_rows
            # the rest of the sizes are counted in the totals alone
            if size in entry.batches or len(entry.batches) < MOST_BATCH_SIZES:
                duration = entry.batches.setdefault(size, Duration())
                duration.add(run.seconds * run.fraction, run.fraction)
        durations = entry.durations
        durations["success"].add(stopwatch.queue_s + stopwatch.turns_s)
        durations["queue"].add(stopwatch.queue_s + stopwatch.slot_s)
        durations["compute_input"].add(stopwatch.decode_s + stopwatch.preprocess_s)
        durations["compute_infer"].add(stopwatch.run_s)
        durations["compute_output"].add(stopwatch.encode_s)

    def fail(self, model: str, version: str, seconds: float) -> None:
        """Count a request for a version that got an error after some seconds."""
        entry = self._versions.setdefault((model, version), ModelStatistics())
        entry.durations["fail"].add(seconds)

    def to_json(
        self, model: str, version: str, *, memory_bytes: int | None = None
    ) -> StatisticsJson:
        """Return the entry of a version in the form of Triton; times are in nanoseconds.

        Args:
            model: id.
            version: that is served; "" if none can be.
            memory_bytes: that it keeps; None if it is not loaded.
        """
        entry = self._versions.get((model, version), ModelStatistics())
        none = Duration().to_json()
        return {
            "name": model,
            "version": version,
            "last_inference": entry.last_ms,
            "inference_count": entry.rows,
            "execution_count": round(entry.executions),
            "inference_stats": {
                "success": _duration(entry.durations, "success"),
                "fail": _duration(entry.durations, "fail"),
                "queue": _duration(entry.durations, "queue"),
                "compute_input": _duration(entry.durations, "compute_input"),
                "compute_infer": _duration(entry.durations, "compute_infer"),
                "compute_output": _duration(entry.durations, "compute_output"),
                "cache_hit": none,
                "cache_miss": none,
            },
            "response_stats": {},
            "batch_stats": [
                {
                    "batch_size": rows,
                    "compute_input": {**runs.to_json(), "ns": 0},
                    "compute_infer": runs.to_json(),
                    "compute_output": {**runs.to_json(), "ns": 0},
                }
                for rows, runs in sorted(entry.batches.items())
            ],
            "memory_usage": _memory_usage(memory_bytes),
        }


def add_up(entries: Sequence[Any]) -> Any:
    """Return the sum of the JSON of several workers: of an entry, or a part of it.

    Numbers are added, except the time of the last request. Lists are of batch sizes,
    or kinds of memory.
    """
    first = entries[0]
    if isinstance(first, dict):
        return {
            name: max(entry[name] for entry in entries)
            if name in _NOT_ADDED
            else add_up([entry[name] for entry in entries])
            for name in first
        }
    if isinstance(first, list):
        rows: defaultdict[Any, list[Any]] = defaultdict(list)
        for entry in entries:
            for row in entry:
                rows[row.get("batch_size", row.get("type"))].append(row)
        return [add_up(rows[size]) for size in sorted(rows)]
    return sum(entries)


def _memory_usage(size_bytes: int | None) -> list[MemoryUsageJson]:
    """Return the memory of a loaded version: it may be 0, where free heap held the model."""
    return [] if size_bytes is None else [{"type": "CPU", "id": 0, "byte_size": size_bytes}]


def _duration(durations: Mapping[str, Duration], name: str) -> DurationJson:
    return durations.get(name, Duration()).to_json()

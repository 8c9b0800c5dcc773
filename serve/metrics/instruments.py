"""Counters and histograms of what happens; a request costs some additions.

Labels have bounded values: the templates of routes, the ids and versions of models that are served,
statuses, stages and reasons. No text of a client is one. Children are looked up once and kept.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

from serve.http.log.record import RequestRecord

T = TypeVar("T")

SECONDS = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128)
MODEL, STAGE = "model", "stage"


class Children(dict[tuple[str, ...], T]):
    """Children of an instrument by the values of its labels, made when they are first used."""

    def __init__(self, make: Callable[..., T]) -> None:
        """Make a child with `make(*values)`."""
        super().__init__()
        self._make = make

    def __missing__(self, values: tuple[str, ...]) -> T:
        """Make the child."""
        child = self[values] = self._make(*values)
        return child


class Instruments:
    """Counters and histograms of events. Safe to use from several threads at once."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register the instruments."""
        disable_created_metrics()  # type: ignore[no-untyped-call]  # else a second series for each

        def counter(name: str, text: str, *labels: str) -> Children[Counter]:
            return Children(Counter(name, text, labels, registry=registry).labels)

        def histogram(
            name: str, text: str, *labels: str, buckets: tuple[float, ...] = SECONDS
        ) -> Children[Histogram]:
            made = Histogram(name, text, labels, registry=registry, buckets=buckets)
            return Children(made.labels)

        self._requests = counter(
            "slipway_requests", "Requests that ended", "route", "method", "status"
        )
        self._seconds = histogram(
            "slipway_request_seconds", "Seconds from the head to the end of the answer", "route"
        )
        self._refusals = counter("slipway_refusals", "Requests with an error, by reason", "reason")
        self._left = counter("slipway_left", "Requests whose client left before the end", "route")
        self._answers = counter(
            "slipway_answers", "Answers of 200 that a model made", MODEL, "version"
        )
        self._stages = histogram(
            "slipway_stage_seconds", "Seconds of a request in one stage", MODEL, STAGE
        )
        self._batch = histogram(
            "slipway_batch_rows", "Rows of one run of a graph", MODEL, buckets=ROWS
        )

    def request(self, record: RequestRecord) -> None:
        """Count a request that ended."""
        route, status = record.route, str(record.status or "none")
        self._requests[route, record.method, status].inc()
        self._seconds[route,].observe(record.total_ms / 1000)
        if record.reason:
            self._refusals[record.reason,].inc()
        if record.left:
            self._left[route,].inc()
        if record.model and record.status == 200:
            self._answers[record.model, record.version].inc()
            for stage in ("receive", "write"):
                if stage in record.stages_ms:
                    self._stages[record.model, stage].observe(record.stages_ms[stage] / 1000)

    def work(self, model: str, stages_s: Mapping[str, float]) -> None:
        """Count the work of a request or job that ended well, by stage."""
        for stage, seconds in stages_s.items():
            self._stages[model, stage].observe(seconds)

    def run(self, model: str, rows: int) -> None:
        """Count one run of a graph."""
        self._batch[model,].observe(rows)

"""Counters and histograms of what happens; a request costs some additions.

Labels have bounded values: the templates of routes, the ids and versions of models that are served,
statuses, stages and reasons. No text of a client is one.
"""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Histogram, disable_created_metrics

from serve.http.log.record import RequestRecord
from serve.metrics.tallies import Counts, Histograms, Tallies

SECONDS = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128)
MODEL, STAGE = "model", "stage"
OF_CONNECTION = ("receive", "write")  # the stages that `request` counts; `work` counts the others


class Instruments:
    """Counters and histograms of events. Use it on the event loop only, apart from `run`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register the instruments."""
        disable_created_metrics()  # type: ignore[no-untyped-call]  # else a second series for each
        self._requests = Counts(
            "slipway_requests", "Requests that ended", "route", "method", "status"
        )
        self._seconds = Histograms(
            "slipway_request_seconds",
            "Seconds from the head to the end of the answer",
            "route",
            bounds=SECONDS,
        )
        self._refusals = Counts("slipway_refusals", "Requests with an error, by reason", "reason")
        self._left = Counts("slipway_left", "Requests whose client left before the end", "route")
        self._answers = Histograms(
            "slipway_answer_seconds",
            "Seconds of requests that a version answered with 200",
            *(MODEL, "version"),
            bounds=SECONDS,
        )
        self._stages = Histograms(
            "slipway_stage_seconds",
            "Seconds of a request in one stage",
            *(MODEL, STAGE),
            bounds=SECONDS,
        )
        # runs are counted by the threads that run them
        self._batch = Histogram(
            *("slipway_batch_rows", "Rows of one run of a graph"),
            labelnames=[MODEL],
            buckets=ROWS,
            registry=registry,
        )
        self._batches: dict[str, Histogram] = {}  # by model
        counted = (self._requests, self._refusals, self._left)
        timed = (self._seconds, self._answers, self._stages)
        registry.register(Tallies((*counted, *timed)))

    def request(self, record: RequestRecord) -> None:
        """Count a request that ended."""
        route = record.route
        self._requests[route, record.method, str(record.status or "none")] += 1
        self._seconds[route,].add(record.total_ms / 1000)
        if record.reason:
            self._refusals[record.reason,] += 1
        if record.left:
            self._left[route,] += 1
        if record.model and record.status == 200:
            self._answers[record.model, record.version].add(record.total_ms / 1000)
            for stage in OF_CONNECTION:
                if stage in record.stages_ms:
                    self._stages[record.model, stage].add(record.stages_ms[stage] / 1000)

    def work(self, model: str, stages_s: Mapping[str, float]) -> None:
        """Count the work of a request or job that ended well, by stage."""
        for stage, seconds in stages_s.items():
            self._stages[model, stage].add(seconds)

    def run(self, model: str, rows: int) -> None:
        """Count one run of a graph. Any thread may call it."""
        histogram = self._batches.get(model)
        if histogram is None:
            histogram = self._batches[model] = self._batch.labels(model)
        histogram.observe(rows)

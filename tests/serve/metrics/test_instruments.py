"""Counters and histograms, without a server."""

from prometheus_client import CollectorRegistry

from serve.http.log.record import RequestRecord
from serve.metrics.instruments import Instruments


def record(**fields: object) -> RequestRecord:
    values = {
        "time_s": 0.0,
        "request_id": "a",
        "method": "POST",
        "route": "/v1/x",
        "status": 200,
        "bytes_in": 1,
        "bytes_out": 1,
        "total_ms": 12.0,
        "stages_ms": {},
        **fields,
    }
    return RequestRecord(**values)  # type: ignore[arg-type]


def test_a_request_is_counted_once_in_each_figure() -> None:
    registry = CollectorRegistry()
    instruments = Instruments(registry)
    stages = {"receive": 1.0, "run": 10.0, "write": 2.0}
    instruments.request(record(model="m", version="3", stages_ms=stages))
    instruments.request(record(status=429, reason="queue", model="m"))
    instruments.request(record(status=None, left=True))

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    for status in ("200", "429", "none"):
        labels = {"route": "/v1/x", "method": "POST", "status": status}
        assert value("slipway_requests_total", **labels) == 1
    assert value("slipway_request_seconds_count", route="/v1/x") == 3
    assert value("slipway_request_seconds_bucket", route="/v1/x", le="0.01") == 0
    assert value("slipway_request_seconds_bucket", route="/v1/x", le="0.025") == 3
    assert value("slipway_refusals_total", reason="queue") == 1
    assert value("slipway_left_total", route="/v1/x") == 1
    assert value("slipway_answer_seconds_sum", model="m", version="3") == 0.012
    assert value("slipway_stage_seconds_sum", model="m", stage="write") == 0.002
    assert value("slipway_stage_seconds_count", model="m", stage="run") is None  # `work` counts it


def test_work_and_runs_are_counted_by_model() -> None:
    registry = CollectorRegistry()
    instruments = Instruments(registry)
    instruments.work("m", {"queue": 0.5, "run": 0.002})
    instruments.run("m", 3)
    instruments.run("m", 1)
    value = registry.get_sample_value
    assert value("slipway_stage_seconds_sum", {"model": "m", "stage": "queue"}) == 0.5
    assert value("slipway_batch_rows_sum", {"model": "m"}) == 4
    assert value("slipway_batch_rows_bucket", {"model": "m", "le": "2.0"}) == 1

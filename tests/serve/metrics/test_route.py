"""GET /metrics of a server under requests, on the port of the server and on its own."""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from serve.metrics.metrics import FRESH_S, Metrics
from serve.settings import Settings
from tests.serve.support.server import running
from tests.support.images import solid
from tests.support.ports import free_port
from tests.support.server_process import serving

Value = Callable[..., float]
MODEL = "face_emotion_xception"


def samples_of(text: str) -> list[Sample]:
    return [s for family in text_string_to_metric_families(text) for s in family.samples]


@pytest.fixture(scope="module")
def answers(artifacts: Path) -> Iterator[tuple[str, Any]]:
    """Return the metrics after some requests, and GET /v1/memory."""
    with running(Settings(artifacts=artifacts, memory_mib=8192)) as client:
        image = solid(40, 30, 20)
        for _ in range(3):
            assert client.post(f"/v1/models/{MODEL}", content=image).status_code == 200
        shape = {"name": "image", "shape": [5, 8, 8, 1], "datatype": "UINT8", "data": [0] * 320}
        infer = client.post(f"/v2/models/{MODEL}/infer", json={"inputs": [shape]})
        assert infer.status_code == 200
        assert client.post(f"/v1/models/{MODEL}", content=b"none").status_code == 400
        assert client.get("/v1/models/nobody").status_code == 404
        assert client.get("/nowhere").status_code == 404
        job = client.post(f"/v1/models/{MODEL}", content=image, headers={"Prefer": "respond-async"})
        assert job.status_code == 202
        while client.get(job.headers["location"]).json()["state"] in ("queued", "running"):
            pass
        answer = client.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=")
        yield answer.text, client.get("/v1/memory").json()


@pytest.fixture(scope="module")
def text(answers: tuple[str, Any]) -> str:
    return answers[0]


@pytest.fixture(scope="module")
def value(text: str) -> Value:
    """Return a function from the name and labels of a sample to its value."""
    values = {(s.name, frozenset(s.labels.items())): s.value for s in samples_of(text)}
    return lambda name, **labels: values[name, frozenset(labels.items())]


def test_requests_errors_and_answers(value: Value) -> None:
    route = "/v1/models/{model}"
    requests = "slipway_requests_total"
    assert value(requests, route=route, method="POST", status="200") == 3
    assert value(requests, route=route, method="POST", status="202") == 1
    assert value(requests, route=route, method="POST", status="400") == 1
    assert value(requests, route="unknown", method="GET", status="404") == 1
    assert value("slipway_request_seconds_count", route="/v2/models/{model}/infer") == 1
    assert value("slipway_refusals_total", reason="invalid") == 1
    assert value("slipway_refusals_total", reason="not_found") == 2
    assert value("slipway_answer_seconds_count", model=MODEL, version="1") == 4


def test_time_by_stage_also_of_jobs_and_rows_of_runs(value: Value) -> None:
    for stage in ("decode", "preprocess", "run", "postprocess"):
        assert value("slipway_stage_seconds_count", model=MODEL, stage=stage) == 5
    for stage in ("receive", "queue", "write"):
        assert value("slipway_stage_seconds_count", model=MODEL, stage=stage) == 4
    for stage in ("decode", "preprocess", "run"):
        assert value("slipway_stage_seconds_sum", model=MODEL, stage=stage) > 0
    assert value("slipway_batch_rows_sum", model=MODEL) == 4 + 5
    assert value("slipway_batch_rows_count", model=MODEL) == 5


def test_models_memory_queues_jobs_and_connections(value: Value) -> None:
    assert value("slipway_ready") == 1
    assert value("slipway_model_state", model=MODEL, state="ready") == 1
    assert value("slipway_model_state", model=MODEL, state="loading") == 0
    assert value("slipway_model_loads_total", model=MODEL) == 1
    assert value("slipway_model_evictions_total", model=MODEL) == 0
    assert value("slipway_route_problem", model=MODEL) == 0
    source = "SLIPWAY_MEMORY_MIB"
    assert value("slipway_memory_allowed_bytes", source=source) == 2**33 - 2**33 // 12
    assert 0 < value("slipway_memory_used_bytes", source=source) < 2**33
    assert 0 < value("slipway_memory_free_bytes") < 2**33
    assert value("slipway_memory_short") == 0
    assert value("slipway_queue_requests", model=MODEL) == 0
    assert value("slipway_slots_taken") <= value("slipway_slots")
    assert value("slipway_jobs_ended_total", state="done") == 1
    assert value("slipway_decoders_killed_total") == 0
    assert value("slipway_connections", phase="request") == 1  # the one that asks
    assert value("slipway_connections_opened_total") >= 1
    for direction in ("received", "sent"):
        assert value("slipway_network_bytes_total", direction=direction) > 1000


def test_the_memory_of_each_model_is_that_of_the_ledger(
    value: Value, answers: tuple[str, Any]
) -> None:
    models = answers[1]["models"]
    kept = {name: entry["cost"]["kept_bytes"] for name, entry in models.items()}
    assert sum(kept.values()) > 0
    for name, size_bytes in kept.items():
        assert value("slipway_model_memory_bytes", model=name, version="1") == size_bytes


def test_labels_are_templates_ids_and_words(text: str, artifacts: Path) -> None:
    samples = samples_of(text)
    assert "nobody" not in text
    assert "nowhere" not in text
    models = {s.labels["model"] for s in samples if "model" in s.labels}
    routes = {s.labels["route"] for s in samples if "route" in s.labels}
    assert models == {path.name for path in artifacts.iterdir() if (path / "1").is_dir()}
    assert routes <= {
        *("unknown", "/v1/models/{model}", "/v2/models/{model}/infer", "/v1/jobs/{job}"),
        "/metrics",
    }


def test_a_port_of_its_own_has_the_metrics_and_nothing_else(artifacts: Path) -> None:
    port, base_path = free_port(), "/emotion"
    arguments = ("--artifacts", str(artifacts), "--metrics-port", str(port))
    with serving(*arguments, SLIPWAY_BASE_PATH=base_path) as server:
        own = f"http://127.0.0.1:{port}"
        assert any(f"metrics on {own}/metrics" in line for line in server.lines)
        assert "slipway_ready 1.0" in httpx.get(f"{own}/metrics", timeout=60).text
        for path in ("/health", "/v1/models", "/"):
            assert httpx.get(own + base_path + path, timeout=60).status_code == 404
        for path in ("/metrics", f"{base_path}/metrics"):
            refused = httpx.get(server.url + path, timeout=60)
            assert refused.status_code == 404
            assert "port of its own" in refused.json()["error"]
        assert httpx.get(f"{server.url}{base_path}/health", timeout=60).status_code == 200


async def _texts(metrics: Metrics, clock: list[float], at_s: list[float]) -> list[bytes]:
    texts = []
    for now_s in at_s:
        clock[0] = now_s
        texts.append(await metrics.text())
        metrics.instruments.run("m", 1)
    return texts


def test_a_flood_of_scrapes_reads_the_figures_four_times_a_second() -> None:
    clock = [0.0]
    metrics = Metrics(lambda: clock[0])
    first, same, later = asyncio.run(_texts(metrics, clock, [0.0, FRESH_S / 2, FRESH_S]))
    assert first == same
    assert b'slipway_batch_rows_count{model="m"} 2.0' in later


def test_every_worker_tells_its_own_on_the_port_of_the_metrics(artifacts: Path) -> None:
    port = free_port()
    arguments = ("--artifacts", str(artifacts), "--metrics-port", str(port), "--workers", "2")
    with serving(*arguments) as server:
        for _ in range(8):  # on new connections, which the workers share
            assert httpx.get(f"{server.url}/health", timeout=60).status_code == 200
        samples = samples_of(httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=60).text)
        assert httpx.get(f"{server.url}/metrics", timeout=60).status_code == 404
    ready = {s.labels["worker"]: s.value for s in samples if s.name == "slipway_ready"}
    assert ready == {"0": 1.0, "1": 1.0}
    counts = [
        s.value
        for s in samples
        if s.name == "slipway_requests_total" and s.labels["route"] == "/health"
    ]
    assert sum(counts) == 8


def test_all_that_ask_meanwhile_get_one_text() -> None:
    """However long a text takes, those that ask for it do not wait for each other."""
    texts_made: list[None] = []
    times = iter(range(1000))

    class Slow(Collector):
        def collect(self) -> Iterator[Metric]:
            time.sleep(0.05)
            texts_made.append(None)
            yield GaugeMetricFamily("slow", "Counts the texts", value=len(texts_made))

    async def ask_many() -> list[bytes]:
        metrics = Metrics(clock=lambda: float(next(times)))  # each look is later than fresh
        metrics.watch(Slow())
        leaving = asyncio.create_task(metrics.text())
        await asyncio.sleep(0)
        waiting = [asyncio.create_task(metrics.text()) for _ in range(20)]
        await asyncio.sleep(0)
        leaving.cancel()
        return await asyncio.gather(*waiting)

    texts = asyncio.run(ask_many())
    assert len(set(texts)) == 1
    assert len(texts_made) <= 2  # the registry may look once when the collector is added

"""The files for Prometheus and Grafana, with Debian's prometheus and a server under requests."""

import json
import math
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.support.images import solid
from tests.support.ports import free_port
from tests.support.server_process import PROJECT, serving

FOLDER = PROJECT / "deploy" / "prometheus"
DASHBOARD = json.loads((PROJECT / "deploy" / "grafana" / "slipway.json").read_text("utf-8"))
MODEL = "/v1/models/face_emotion_xception"
WINDOW = "5s"  # of the rates; the server is asked every 0.3 s
PATIENCE_S = 30.0

needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None or shutil.which("promtool") is None,
    reason="prometheus is not installed (Debian: apt-get install prometheus)",
)


def expressions() -> list[str]:
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]


def queries_of_the_autoscaler() -> list[str]:
    """Return the queries of prometheus-adapter, with its placeholders filled in."""
    path = PROJECT / "deploy" / "kubernetes" / "components" / "autoscaling" / "adapter.yaml"
    rules = yaml.safe_load(path.read_text("utf-8"))["rules"]["custom"]
    filled = {"<<.GroupBy>>": "instance", "<<.LabelMatchers>>": 'job="$job"', "[1m]": f"[{WINDOW}]"}
    queries = [rule["metricsQuery"] for rule in rules]
    for placeholder, text in filled.items():
        assert all(placeholder in query for query in queries)
        queries = [query.replace(placeholder, text) for query in queries]
    return queries


def test_the_panels_of_the_dashboard_do_not_overlap() -> None:
    cells: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        own = {
            (place["x"] + column, place["y"] + row)
            for column in range(place["w"])
            for row in range(place["h"])
        }
        assert not cells & own, panel["title"]
        assert max(x for x, _ in own) < 24
        cells |= own
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)


@needs_prometheus
@pytest.mark.parametrize(
    "command", [("check", "config", "prometheus.yml"), ("test", "rules", "alerts_test.yml")]
)
def test_promtool_finds_no_fault(command: tuple[str, ...]) -> None:
    done = subprocess.run(
        ["promtool", *command], cwd=FOLDER, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested_raised_and_not_raised() -> None:
    alerts = re.findall(r"- alert: (\w+)", (FOLDER / "alerts.yml").read_text("utf-8"))
    tested = re.findall(r"alertname: (\w+)", (FOLDER / "alerts_test.yml").read_text("utf-8"))
    assert sorted(tested) == sorted(alerts * 2)


def ask(url: str, end: threading.Event) -> None:
    """Send requests of several kinds until the end, with errors and jobs among them."""
    image = solid(9, 9, 9)
    with httpx.Client(base_url=url, timeout=60) as client:
        while not end.wait(0.03):
            client.post(MODEL, content=image)
            client.post(MODEL, content=b"no image")
            client.post(MODEL, content=image, headers={"Prefer": "respond-async"})
            client.get("/health")


@contextmanager
def prometheus(metrics_port: int, folder: Path) -> Iterator[httpx.Client]:
    """Run Prometheus with the configuration of deploy/, on other ports and faster."""
    text = (FOLDER / "prometheus.yml").read_text("utf-8")
    text = text.replace("127.0.0.1:9100", f"127.0.0.1:{metrics_port}").replace("10s", "300ms")
    assert str(metrics_port) in text
    (folder / "prometheus.yml").write_text(text)
    shutil.copy(FOLDER / "alerts.yml", folder)
    port = free_port()
    process = subprocess.Popen(
        [
            "prometheus",
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        ]
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=60) as client:
            yield client
    finally:
        process.terminate()
        process.wait(timeout=20)


def values_of(client: httpx.Client, expression: str) -> list[float]:
    """Return the values of an expression now; none while Prometheus starts."""
    query = expression.replace("$__rate_interval", WINDOW).replace("$job", "slipway")
    try:
        answer: dict[str, Any] = client.get("/query", params={"query": query}).json()
    except (httpx.TransportError, json.JSONDecodeError):
        return []
    assert answer["status"] in ("success", None), answer
    return [float(one["value"][1]) for one in answer["data"]["result"]]


def wait_for_data(client: httpx.Client, waiting: list[str]) -> list[str]:
    """Return the expressions that have no number within the patience."""
    deadline = time.monotonic() + PATIENCE_S
    while waiting and time.monotonic() < deadline:
        time.sleep(0.2)
        waiting = [one for one in waiting if not any(map(math.isfinite, values_of(client, one)))]
    return waiting


@needs_prometheus
def test_every_expression_has_data_of_a_server_under_requests(
    artifacts: Path, tmp_path: Path
) -> None:
    port = free_port()
    arguments = ("--artifacts", str(artifacts), "--metrics-port", str(port))
    end = threading.Event()
    with serving(*arguments, SLIPWAY_MEMORY_MIB="4096", SLIPWAY_LOG="off") as server:
        thread = threading.Thread(target=ask, args=(server.url, end))
        thread.start()
        try:
            with prometheus(port, tmp_path) as client:
                asked = [*expressions(), *queries_of_the_autoscaler()]
                assert wait_for_data(client, asked) == []
                assert values_of(client, 'up{job="slipway"}') == [1.0]
                alerts = client.get("/rules").json()["data"]["groups"][0]["rules"]
                assert [one["name"] for one in alerts if one["health"] != "ok"] == []
        finally:
            end.set()
            thread.join()

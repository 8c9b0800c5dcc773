"""Graphs, clients and models: measured for a moment on small graphs."""

from pathlib import Path

import pytest

from benchmarks.scaling import __main__ as command
from benchmarks.scaling import servers
from benchmarks.scaling.graphs import measure_graph
from benchmarks.scaling.servers import measure_clients, measure_models
from benchmarks.schema.document import read_report
from benchmarks.timing import Effort
from runtime.engine.resources import cpu_count
from tests.benchmarks.support.artifacts import FACES, MASKS, MEDIA
from tests.benchmarks.support.reports import validator

BRIEF = Effort(0.0, 2, 2, warm_up_rounds=1, process_starts=1)


def test_a_graph_by_rows_and_by_threads(measurable: Path) -> None:
    rows, threads = measure_graph(measurable / MASKS / "3", BRIEF)
    assert [point.size for point in rows.points] == [1, 2, 4, 8, 16]
    assert [point.size for point in threads.points] == list(range(1, cpu_count() + 1))
    assert all(point.value > 0 for point in (*rows.points, *threads.points))


def test_a_server_by_clients_and_by_models(
    measurable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "CLIENTS", (1, 2))
    rates, latencies = measure_clients(measurable, FACES, MEDIA[0], seconds=0.1)
    assert [point.size for point in rates.points] == [1, 2]
    assert all(point.value > 0 for point in (*rates.points, *latencies.points))
    listening, ready, memory = measure_models(measurable, {FACES: MEDIA, MASKS: MEDIA}, starts=1)
    for one in (listening, ready, memory):
        assert [point.size for point in one.points] == [1, 2]
    assert listening.points[0].value < ready.points[0].value
    assert memory.points[0].value > 10


def test_the_command_writes_its_section(
    measurable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for name in ("measure_clients", "measure_models", "measure_files"):
        monkeypatch.setattr(command, name, lambda *_, **__: iter(()))
    arguments = ["--artifacts", str(measurable), "--report", str(tmp_path), "--quick"]
    assert command.main(arguments) == 0
    validator().validate(read_report(tmp_path))
    assert "| rows of a batch |" in capsys.readouterr().out
    assert command.main(["--artifacts", str(tmp_path / "none")]) == 1

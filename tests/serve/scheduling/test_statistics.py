"""The counters of each model."""

from typing import Any

from serve.scheduling.graph_run import GraphRun
from serve.scheduling.statistics import MOST_BATCH_SIZES, Statistics, add_up
from serve.scheduling.stopwatch import Stopwatch


def stopwatch(queue_s: float, decode_s: float, run_s: float, encode_s: float) -> Stopwatch:
    watch = Stopwatch()
    watch.queue_s, watch.decode_s = queue_s, decode_s
    watch.run_s, watch.encode_s = run_s, encode_s
    return watch


def run(rows: int, seconds: float, batch_rows: int = 0) -> GraphRun:
    return GraphRun("m", rows, batch_rows or rows, seconds)


def test_a_model_that_nobody_asked_has_zeros() -> None:
    entry = Statistics().to_json("m", "1")
    assert (entry["name"], entry["version"], entry["inference_count"]) == ("m", "1", 0)
    assert entry["inference_stats"]["success"] == {"count": 0, "ns": 0}


def test_versions_are_counted_apart() -> None:
    statistics = Statistics()
    statistics.succeed("m", "1", stopwatch(0, 0, 1, 0), [run(3, 1.0)])
    statistics.succeed("m", "2", stopwatch(0, 0, 1, 0), [run(5, 1.0)])
    statistics.fail("m", "2", 0.5)
    first, second = (statistics.to_json("m", version) for version in "12")
    assert (first["inference_count"], second["inference_count"]) == (3, 5)
    fails = [entry["inference_stats"]["fail"]["count"] for entry in (first, second)]
    assert fails == [0, 1]


def test_rows_runs_and_stages_add_up() -> None:
    statistics = Statistics()
    statistics.succeed("m", "1", stopwatch(1, 2, 4, 8), [run(3, 3.0), run(1, 1.0)])
    statistics.succeed("m", "1", stopwatch(0, 0, 1, 0), [run(3, 1.0)])
    statistics.fail("m", "1", 0.5)
    entry = statistics.to_json("m", "1")
    assert (entry["inference_count"], entry["execution_count"]) == (7, 3)
    second = 1_000_000_000
    expected = {
        "success": (2, 16), "fail": (1, 0.5), "queue": (2, 1),
        "compute_input": (2, 2), "compute_infer": (2, 5), "compute_output": (2, 8),
    }  # fmt: skip
    for name, (count, seconds) in expected.items():
        stage = {"count": count, "ns": int(seconds * second)}
        assert dict[str, Any](entry["inference_stats"])[name] == stage, name
    batches = {b["batch_size"]: b["compute_infer"] for b in entry["batch_stats"]}
    assert batches == {1: {"count": 1, "ns": second}, 3: {"count": 2, "ns": 4 * second}}


def test_batch_sizes_are_bounded() -> None:
    statistics = Statistics()
    for rows in range(2 * MOST_BATCH_SIZES):
        statistics.succeed("m", "1", stopwatch(0, 0, 1, 0), [run(rows, 1.0)])
    entry = statistics.to_json("m", "1")
    assert len(entry["batch_stats"]) == MOST_BATCH_SIZES
    assert entry["execution_count"] == 2 * MOST_BATCH_SIZES


def test_a_run_of_several_requests_counts_once() -> None:
    statistics = Statistics()
    for _ in range(3):
        statistics.succeed("m", "1", stopwatch(0, 0, 1, 0), [run(1, 1.0, batch_rows=3)])
    statistics.succeed("m", "1", stopwatch(0, 0, 1, 0), [run(1, 1.0)])
    entry = statistics.to_json("m", "1")
    assert (entry["inference_count"], entry["execution_count"]) == (4, 2)
    second = 1_000_000_000
    batches = {b["batch_size"]: b["compute_infer"] for b in entry["batch_stats"]}
    assert batches == {1: {"count": 1, "ns": second}, 3: {"count": 1, "ns": second}}


def test_memory_is_told_and_that_of_workers_adds_up() -> None:
    statistics = Statistics()
    assert statistics.to_json("m", "")["memory_usage"] == []
    entry = statistics.to_json("m", "1", memory_bytes=5)
    assert entry["memory_usage"] == [{"type": "CPU", "id": 0, "byte_size": 5}]
    added = add_up([entry, statistics.to_json("m", ""), entry])
    assert added["memory_usage"] == [{"type": "CPU", "id": 0, "byte_size": 10}]

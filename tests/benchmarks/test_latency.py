from pathlib import Path

import pytest

from benchmarks.latency import measure_model
from benchmarks.timing import Effort
from tests.benchmarks.conftest import FACES, MASKS

BRIEF = Effort(seconds=0.0, minimum_rounds=3, maximum_rounds=3, warm_up_rounds=1, process_starts=1)


def test_two_variants_are_measured_against_each_other(measurable: Path) -> None:
    directory = measurable / MASKS / "3"
    found = measure_model(directory, BRIEF, cpus=2)
    assert (found.id, found.version, found.weights) == (MASKS, 3, "seeded")
    assert [(v.name, v.served) for v in found.variants] == [("int8", True), ("float", False)]
    assert found.served.size_mb == (directory / "int8.onnx").stat().st_size / 1e6
    for threads in (1, 2):
        int8, reference = (variant.at(threads) for variant in found.variants)
        assert int8 is not None
        assert reference is not None
        ratio = reference.latency.median_ms / int8.latency.median_ms
        assert int8.times_faster == pytest.approx(ratio, rel=1e-12)
        assert reference.times_faster == 1.0
        assert int8.latency.runs == reference.latency.runs == 3


def test_whole_path_and_load_are_measured(measurable: Path) -> None:
    found = measure_model(measurable / FACES / "1", BRIEF, cpus=2)
    assert found.whole_path.runs == 3
    graph = found.served.at(1)
    assert graph is not None
    # the path decodes and preprocesses beside running the graph, which takes microseconds here
    assert found.whole_path.median_ms > graph.latency.median_ms > 0
    assert 0.1 < found.load_ms < 10_000


def test_more_threads_than_cpus_are_not_measured(measurable: Path) -> None:
    found = measure_model(measurable / FACES / "1", BRIEF, cpus=1)
    assert found.served.at(1) is not None
    assert found.served.at(2) is None

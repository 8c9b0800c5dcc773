import shutil
from pathlib import Path

import pytest

from benchmarks.suite.latency import measure_model
from benchmarks.timing import Effort
from runtime.artifact.golden import golden_arrays, read_golden
from runtime.artifact.manifest import read_manifest
from runtime.errors import DecodeError
from tests.benchmarks.support.artifacts import FACES, MASKS
from tests.support.artifacts import rewrite_golden

BRIEF = Effort(seconds=0.0, minimum_rounds=3, maximum_rounds=3, warm_up_rounds=1, process_starts=1)


def test_two_variants_are_measured_against_each_other(measurable: Path) -> None:
    directory = measurable / MASKS / "3"
    model = measure_model(directory, BRIEF, cpus=2)
    assert (model.id, model.version, model.weights) == (MASKS, 3, "seeded")
    assert [(v.name, v.served) for v in model.variants] == [("int8", True), ("float", False)]
    assert model.served.fidelity.golden_cosine == pytest.approx(1.0, abs=1e-6)
    assert model.served.size_mb == (directory / "int8.onnx").stat().st_size / 1e6
    for threads in (1, 2):
        int8, reference = (variant.at(threads) for variant in model.variants)
        assert int8 is not None
        assert reference is not None
        ratio = reference.latency.median_ms / int8.latency.median_ms
        assert int8.times_faster == pytest.approx(ratio, rel=1e-12)
        assert reference.times_faster == 1.0
        assert int8.latency.runs == reference.latency.runs == 3


def test_whole_path_and_load_are_measured(measurable: Path) -> None:
    model = measure_model(measurable / FACES / "1", BRIEF, cpus=2)
    graph = model.served.at(1)
    assert graph is not None
    assert model.whole_path.runs == graph.latency.runs == 3
    assert graph.latency.median_ms > 0
    assert model.whole_path.median_ms > 0
    assert model.load_ms > 0.1  # milliseconds: creating a session takes longer anywhere


def test_the_whole_path_decodes_the_encoded_sample(measurable: Path, tmp_path: Path) -> None:
    shutil.copytree(measurable / FACES / "1", tmp_path / "1")
    golden = read_golden(tmp_path / "1", read_manifest(tmp_path / "1"))
    broken = golden_arrays([b"no image"] * golden.count, (), golden.inputs, golden.outputs)
    rewrite_golden(tmp_path / "1", broken)
    with pytest.raises(DecodeError):
        measure_model(tmp_path / "1", BRIEF, cpus=1)


def test_more_threads_than_cpus_are_not_measured(measurable: Path) -> None:
    model = measure_model(measurable / FACES / "1", BRIEF, cpus=1)
    assert model.served.at(1) is not None
    assert model.served.at(2) is None

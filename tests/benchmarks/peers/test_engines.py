"""Every engine has a row with speed, fidelity and memory; one that fails has the reason."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.peers.engines import measure, wire
from benchmarks.peers.engines.measure import OPENVINO_MODULE, OURS_MODULE, measure_engines
from benchmarks.peers.engines.ours_held import hold
from benchmarks.peers.environments import Environment
from runtime.artifact.golden import read_golden
from runtime.artifact.manifest import read_manifest
from tests.benchmarks.support.artifacts import FACES

OPENVINO = Environment(Path("python"), {"openvino": "2026.4", "nncf": "3.4"}, 527.0)
ANSWERS: dict[str, dict[str, Any]] = {
    OURS_MODULE: {
        "describe": {"precision": "int8", "task": "t", "outputs": ["a"], "bytes": 2_000_000},
        "write": None,
        "run": [2.0, 2.0],
        "judge": {"fidelity": {"iou_mean": 0.7}, "golden_cosine": 0.8},
        "judge_served": {"fidelity": {"iou_mean": 0.99}, "golden_cosine": 0.999},
    },
    OPENVINO_MODULE: {"compile": 3_000_000, "answer": "bf16", "run": [1.0, 1.0], "hold": 150.0},
    measure.HELD_MODULE: {"hold": 90.0},
}


class FakeChild:
    def __init__(self, module: str) -> None:
        self.module = module

    def ask(self, *command: Any) -> Any:
        name, *arguments = command
        if self.module == OPENVINO_MODULE and (name, arguments[0]) == ("compile", "int8"):
            raise BenchmarkError("compile: refused")
        return ANSWERS[self.module][name]


@contextmanager
def fake_child(python: Path, module: str, *arguments: str, timeout_s: float) -> Iterator[FakeChild]:
    yield FakeChild(module)


def test_rows_have_memory_and_golden_cosine_and_a_refusal_its_reason(
    measurable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "child", fake_child)
    rows = list(measure_engines(measurable, [FACES], OPENVINO, turns=2, count=2))
    ours, chosen, plain, refused = rows
    assert (ours.engine, ours.golden_cosine, ours.memory_mb) == (measure.OURS, 0.999, 90.0)
    assert ours.installed_mb is not None
    assert (chosen.precision, plain.precision) == ("float in bf16", "float32")
    for row in (chosen, plain):
        assert (row.times_ours, row.golden_cosine, row.memory_mb) == (2.0, 0.8, 150.0)
        assert (row.fidelity, row.size_mb, row.installed_mb) == ({"iou_mean": 0.7}, 3.0, 527.0)
    assert (refused.precision, refused.error) == ("int8", "compile: refused")
    assert refused.latency is None


def test_the_memory_of_ours_is_that_of_a_process_that_ran_the_graph(
    measurable: Path, tmp_path: Path
) -> None:
    directory = measurable / FACES / "1"
    golden = read_golden(directory, read_manifest(directory))
    file = str(tmp_path / "inputs.npz")
    wire.save(file, [golden.feeds(number) for number in range(golden.count)])
    assert 10 < hold(directory, 1, file) < 10_000


def test_only_inputs_of_the_first_shape_are_timed() -> None:
    short, long = {"a": np.zeros((1, 2))}, {"a": np.zeros((1, 9))}
    assert [one["a"].shape for one in wire.equal_shapes([short, long, short])] == [(1, 2), (1, 2)]

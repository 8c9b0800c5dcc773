"""The originals: which process measures what, with networks in place of the frameworks."""

import importlib
import json
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import distribution
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.originals import __main__ as command
from benchmarks.originals import child, networks
from benchmarks.originals.__main__ import main, of_model
from benchmarks.originals.installed import _size_bytes, installed_mb
from benchmarks.originals.networks import Original
from benchmarks.schema.document import read_report
from runtime.artifact.golden import read_golden
from runtime.artifact.manifest import read_manifest
from tests.benchmarks.peers.test_process import is_alive
from tests.benchmarks.support.artifacts import FACES, MASKS
from tests.benchmarks.support.reports import original, validator

RowsOf = Callable[[Path, Original, str], list[dict[str, Any]]]


def fake(directory: Path, framework: str, *, origin: str = "seeded") -> Original:
    """Return a network that answers the golden outputs of the first sample."""
    golden = read_golden(directory, read_manifest(directory))
    outputs = {name: array[:1] for name, array in golden.outputs.items()}
    tensors = [SimpleNamespace(name=name) for name in golden.inputs]
    loaded = SimpleNamespace(
        input=SimpleNamespace(tensors=tensors, apply=lambda *arrays: arrays),
        head=SimpleNamespace(apply=lambda *_: outputs),
        network=SimpleNamespace(forward=lambda *arrays: tuple(arrays)),
    )
    return Original(framework, "9.9", origin, loaded, 2.0, 0.5)


@pytest.fixture
def rows_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RowsOf:
    """Return a function that runs the measuring process here, with a network of `fake`."""
    monkeypatch.setattr(child, "set_torch_threads", lambda _: None)
    monkeypatch.setattr(child, "set_keras_threads", lambda _: None)

    def run(directory: Path, network: Original, kind: str) -> list[dict[str, Any]]:
        monkeypatch.setattr(child, "load_original", lambda *_: network)
        out = tmp_path / "rows.json"
        child.main(str(directory), kind, "2", "0", str(out), "1", "2")
        rows: list[dict[str, Any]] = json.loads(out.read_text())
        return rows

    return run


def test_torch_is_measured_with_every_number_of_threads_in_one_process(
    measurable: Path, rows_of: RowsOf
) -> None:
    rows = rows_of(measurable / MASKS / "3", fake(measurable / MASKS / "3", "torch"), "plain")
    assert [(row["engine"], row["threads"]) for row in rows] == [
        (engine, n) for n in (1, 2) for engine in ("torch", "slipway")
    ]
    eager, own, *_ = rows
    assert eager["import_seconds"] == 2.0
    assert eager["load_seconds"] > 0.5
    assert eager["memory_mb"] > 10
    assert own["latency"]["runs"] == eager["latency"]["runs"] == 2
    assert eager["golden_cosine"] <= 1.0
    assert (eager["model"], eager["version"], eager["error"]) == (MASKS, "9.9", None)
    assert (own["model"], own["version"]) == (MASKS, "")


def test_a_compiled_network_is_measured_for_one_number_of_threads(
    measurable: Path, rows_of: RowsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = fake(measurable / MASKS / "3", "torch")
    monkeypatch.setattr(child, "compiled", lambda _: network.loaded.network.forward)
    compiled, own = rows_of(measurable / MASKS / "3", network, "compiled")
    assert (compiled["engine"], compiled["threads"]) == ("torch.compile", 1)
    assert compiled["compile_seconds"] > 0
    assert compiled["memory_mb"] > 10
    assert (own["engine"], own["threads"]) == ("slipway", 1)


def test_a_network_of_other_classes_has_a_note_in_place_of_a_cosine(
    measurable: Path, rows_of: RowsOf
) -> None:
    directory = measurable / MASKS / "3"
    network = fake(directory, "torch")
    answer = network.loaded.head.apply()
    doubled = {name: np.concatenate([array, array]) for name, array in answer.items()}
    network.loaded.head.apply = lambda *_: doubled
    row, *_ = rows_of(directory, network, "plain")
    assert row["golden_cosine"] is None
    assert row["latency"] is not None
    assert row["error"] == "weights of other classes: the same network but for the last layers"


@pytest.mark.parametrize(
    ("file", "module"),
    [("a.pt", "torch"), ("a.onnx", "torch"), ("", "torch"),
     ("a.h5", "convert.export.frameworks.keras_model")],
)  # fmt: skip
def test_the_import_of_the_framework_is_timed_before_anything_else_imports_it(
    file: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []

    def import_module(name: str) -> object:
        names.append(name)
        return SimpleNamespace(import_keras=lambda: None)

    monkeypatch.setattr(importlib, "import_module", import_module)
    assert networks._import_framework(SimpleNamespace(id="m"), SimpleNamespace(path=file)) >= 0
    assert names == [module]


def test_every_input_is_compiled_for() -> None:
    calls: list[object] = []

    def forward(*arrays: Any) -> Any:
        calls.append(arrays)
        return arrays

    first, second = np.zeros((1, 3)), np.zeros((1, 5))
    seconds, error = child._compile(forward, [(first,), (second,)])
    assert len(calls) == 2
    assert seconds is not None
    assert error is None


def test_an_engine_that_does_not_compile_has_a_row_with_the_reason(
    measurable: Path, rows_of: RowsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Any:
        raise RuntimeError("no compiler\nand more")

    directory = measurable / FACES / "1"
    network = fake(directory, "keras", origin="seeded")
    monkeypatch.setattr(child, "compiled", lambda _: fail)
    (row,) = rows_of(directory, network, "compiled")
    assert (row["engine"], row["error"]) == ("keras tf.function", "RuntimeError: no compiler")
    assert row["latency"] is None
    keras, own = rows_of(directory, network, "plain")
    assert (keras["threads"], own["threads"]) == (1, 1)
    assert "seeded weights in place of the pretrained ones" in keras["error"]


def test_an_error_without_a_message_has_its_type() -> None:
    def fail(*_: object) -> Any:
        raise AssertionError

    assert child._compile(fail, [()]) == (None, "AssertionError: ")


def test_a_model_that_is_not_there_is_an_error(
    measurable: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--artifacts", str(measurable), "--report", str(tmp_path), "--models", "absent"]
    assert main(arguments) == 1
    assert "has no model absent" in capsys.readouterr().err
    assert read_report(tmp_path).keys() == {"schema_version"}


@pytest.mark.parametrize(
    ("engine", "processes"),
    [
        ("keras", [("plain", [1, 2]), ("plain", [2]), ("compiled", [1]), ("compiled", [2])]),
        ("torch", [("plain", [1, 2]), ("compiled", [1])]),
    ],
)
def test_keras_has_a_process_for_each_number_of_threads_and_torch_compiles_for_one(
    engine: str, processes: list[tuple[str, list[int]]]
) -> None:
    calls: list[tuple[str, Sequence[int]]] = []

    def measure(kind: str, threads: Sequence[int]) -> list[dict[str, Any]]:
        calls.append((kind, threads))
        counts = threads if engine == "torch" else threads[:1]
        return [{**original(engine, median_ms=1.0), "threads": count} for count in counts]

    rows = of_model("m", measure, cpus=2)
    assert calls == processes
    assert len(rows) == {"keras": 4, "torch": 3}[engine]


def test_a_compilation_that_takes_too_long_leaves_the_other_rows() -> None:
    def measure(kind: str, threads: Sequence[int]) -> list[dict[str, Any]]:
        if kind == "compiled":
            raise BenchmarkError("it took longer than 240 s")
        return [original("torch", median_ms=1.0)]

    plain, late = of_model("m", measure, cpus=1)
    assert plain["latency"] is not None
    assert (late["engine"], late["error"]) == ("torch.compile", "it took longer than 240 s")
    assert late["latency"] is None


def test_a_model_without_such_a_network_says_so() -> None:
    (row,) = of_model("m", lambda *_: [], cpus=2)
    assert row["error"] == "its recipe has no network of PyTorch or Keras"


def test_the_command_writes_its_section_and_leaves_out_a_model_that_fails(
    measurable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def run(_: Path, words: Sequence[str], *others: object) -> list[dict[str, Any]]:
        if FACES in words[0]:
            raise BenchmarkError("its log:\n/tmp/some/where/its framework ended")
        engine = {"plain": "torch", "compiled": "torch.compile"}[words[1]]
        return [{**original(engine, median_ms=3.0), "model": MASKS}]

    monkeypatch.setattr(command, "_run", run)
    monkeypatch.setattr(command, "_installed", lambda _: {"torch": 800.0})
    monkeypatch.setattr(command, "cpu_count", lambda: 1)
    arguments = ["--artifacts", str(measurable), "--report", str(tmp_path), "--quick"]
    assert main(arguments) == 0
    report = read_report(tmp_path)
    validator().validate(report)
    rows = {(row["model"], row["engine"]): row for row in report["originals"]["rows"]}
    assert rows.keys() == {(MASKS, "torch"), (MASKS, "torch.compile"), (FACES, "torch")}
    assert rows[MASKS, "torch"]["error"] is None
    assert rows[FACES, "torch"]["error"] == "its framework ended"
    assert rows[FACES, "torch"]["latency"] is None
    assert "left out: its log:" in capsys.readouterr().err
    # a model that is not measured again keeps its rows
    assert main([*arguments, "--models", FACES]) == 0
    assert read_report(tmp_path)["originals"]["rows"] == report["originals"]["rows"]


def test_a_process_that_fails_is_an_error_with_its_message(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"(?s)ended with 1: .*holds no manifest\.json"):
        command._run(Path(sys.executable), (str(tmp_path / "absent"), "plain", "1", "0"), [1], 60.0)


def test_a_process_that_takes_too_long_ends_with_all_that_it_started(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nsetsid sleep 600 & echo $! > {mark}\nwait\n")
    python.chmod(0o755)
    with pytest.raises(BenchmarkError, match="it took longer than 1 s"):
        command._run(python, ("artifact", "compiled", "1", "0"), [1], 1.0)
    assert not is_alive(int(mark.read_text()))


def test_what_a_package_requires_counts() -> None:
    numpy, onnxruntime = installed_mb("numpy"), installed_mb("onnxruntime")
    assert numpy is not None
    assert onnxruntime is not None
    assert onnxruntime > numpy > 10
    starlette, anyio = installed_mb("starlette"), installed_mb("anyio")
    assert starlette is not None
    assert anyio is not None
    assert starlette > anyio > _size_bytes(distribution("anyio")) / 1e6  # which requires idna
    assert installed_mb("no-such-package") is None

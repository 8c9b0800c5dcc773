"""The originals: which process measures what, with networks in place of the frameworks."""

import json
import sys
from collections.abc import Sequence
from importlib.metadata import distribution
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.originals import __main__ as command
from benchmarks.originals import child
from benchmarks.originals.__main__ import main, of_model
from benchmarks.originals.installed import _size_bytes, installed_mb
from benchmarks.originals.networks import Original
from benchmarks.schema.document import read_report
from runtime.artifact.golden import read_golden
from runtime.artifact.manifest import read_manifest
from tests.benchmarks.support.artifacts import FACES, MASKS
from tests.benchmarks.support.reports import original, validator


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


def rows_of(
    directory: Path, network: Original, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> list[dict[str, Any]]:
    monkeypatch.setattr(child, "load_original", lambda *_: network)
    monkeypatch.setattr(child, "set_torch_threads", lambda _: None)
    monkeypatch.setattr(child, "set_keras_threads", lambda _: None)
    child.main(str(directory), "2", "0", "1", "2")
    rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return rows


def test_torch_is_measured_with_every_number_of_threads_in_one_process(
    measurable: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    network = fake(measurable / MASKS / "3", "torch")
    twin = network.loaded.network.forward
    monkeypatch.setattr(child, "compiled", lambda _: ("torch.compile", twin))
    rows = rows_of(measurable / MASKS / "3", network, monkeypatch, capsys)
    assert [(row["engine"], row["threads"]) for row in rows] == [
        (engine, n) for n in (1, 2) for engine in ("torch", "torch.compile", "slipway")
    ]
    eager, compiled, own, *_ = rows
    assert eager["import_seconds"] == 2.0
    assert eager["load_seconds"] > 0.5
    assert eager["memory_mb"] > 10
    assert compiled["compile_seconds"] is not None
    assert own["latency"]["runs"] == eager["latency"]["runs"] == 2
    assert eager["golden_cosine"] <= 1.0
    assert eager["error"] is None


def test_an_engine_that_does_not_compile_has_a_row_with_the_reason(
    measurable: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> Any:
        raise RuntimeError("no compiler\nand more")

    network = fake(measurable / FACES / "1", "keras", origin="seeded")
    monkeypatch.setattr(child, "compiled", lambda _: ("keras tf.function", fail))
    rows = rows_of(measurable / FACES / "1", network, monkeypatch, capsys)
    assert [(row["engine"], row["threads"]) for row in rows] == [
        ("keras", 1), ("slipway", 1), ("keras tf.function", 1)
    ]  # fmt: skip
    assert rows[-1]["error"] == "RuntimeError: no compiler"
    assert rows[-1]["latency"] is None
    assert "seeded weights in place of the pretrained ones" in rows[0]["error"]


def test_an_error_without_a_message_has_its_type() -> None:
    def fail(*_: object) -> Any:
        raise AssertionError

    assert child._compile(fail, ()) == (None, None, "AssertionError: ")


def test_a_model_that_is_not_there_is_an_error(
    measurable: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--artifacts", str(measurable), "--report", str(tmp_path), "--models", "absent"]
    assert main(arguments) == 1
    assert "has no model absent" in capsys.readouterr().err
    assert read_report(tmp_path).keys() == {"schema_version"}


def test_threads_that_a_process_leaves_out_are_measured_by_further_ones(tmp_path: Path) -> None:
    calls: list[Sequence[int]] = []

    def measure(_: Path, threads: Sequence[int]) -> list[dict[str, Any]]:
        calls.append(threads)
        return [{**original("keras", median_ms=1.0), "threads": threads[0]}]

    assert [row["threads"] for row in of_model(tmp_path, measure, cpus=2)] == [1, 2]
    assert calls == [[1, 2], [2]]
    assert of_model(tmp_path, lambda *_: [], cpus=2) == []


def test_the_command_writes_its_section_and_leaves_out_a_model_that_fails(
    measurable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def run(_: Path, module: str, *arguments: str) -> str:
        if module.endswith("installed"):
            return json.dumps({"torch": 800.0})
        if FACES in arguments[0]:
            raise BenchmarkError("its log:\n/tmp/some/where/its framework ended")
        return json.dumps([original("torch", median_ms=3.0)])

    monkeypatch.setattr(command, "_run", run)
    monkeypatch.setattr(command, "cpu_count", lambda: 1)
    arguments = ["--artifacts", str(measurable), "--report", str(tmp_path), "--quick"]
    assert main(arguments) == 0
    report = read_report(tmp_path)
    validator().validate(report)
    measured, left_out = sorted(report["originals"]["rows"], key=lambda row: str(row["error"]))
    assert (measured["error"], left_out["error"]) == (None, "its framework ended")
    assert (left_out["model"], left_out["latency"]) == (FACES, None)
    assert "left out: its log:" in capsys.readouterr().err


def test_a_process_that_fails_is_an_error_with_its_message() -> None:
    with pytest.raises(BenchmarkError, match="No module named"):
        command._run(Path(sys.executable), "benchmarks.no_such_module")


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

"""Time and judge every model in onnxruntime, as served, and in OpenVINO, in turns."""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.children import PROJECT
from benchmarks.errors import BenchmarkError
from benchmarks.peers.engines.rows import EngineRow, summarize
from benchmarks.peers.environments import Environment, deployed
from runtime.artifact.manifest import newest_versions

CONVERT = PROJECT / ".venv-convert" / "bin" / "python"
THREADS = 1
MODEL_TIMEOUT_S = 600.0  # of one model; most of it quantizes
OURS = "Slipway (onnxruntime)"
OURS_MODULE = "benchmarks.peers.engines.ours"
HELD_MODULE = "benchmarks.peers.engines.ours_held"
OPENVINO_MODULE = "benchmarks.peers.engines.openvino_child"
OPENVINO = "OpenVINO"
PRECISIONS = {
    "float": "float in {}",
    "float32": "float32",
    "int8": "int8 by NNCF {}",
}


@dataclass(frozen=True, slots=True)
class Child:
    """A process that answers commands."""

    process: "subprocess.Popen[str]"

    def ask(self, *command: Any) -> Any:
        """Send a command and return its value.

        Raises:
            BenchmarkError: it failed, or the process has ended.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write(f"{json.dumps(command)}\n")
            self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise BenchmarkError(f"{command[0]}: the process has ended, or took too long")
        answer = json.loads(line)
        if "error" in answer:
            raise BenchmarkError(f"{command[0]}: {answer['error']}")
        return answer["value"]


@contextmanager
def child(python: Path, module: str, *arguments: str, timeout_s: float) -> Iterator[Child]:
    """Run a module until the block ends, and no longer than a number of seconds."""
    process = subprocess.Popen(
        [str(python), "-m", module, *arguments],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    timer = threading.Timer(timeout_s, process.kill)
    timer.start()
    try:
        yield Child(process)
    finally:
        timer.cancel()
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()


@dataclass(slots=True)
class Timings:
    """The durations in ms of the graphs of one model, by name."""

    durations: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, durations: list[float]) -> None:
        """Add durations of one turn."""
        self.durations.setdefault(name, []).extend(durations)


def measure_engines(
    artifacts: Path, models: Sequence[str], openvino: Environment, *, turns: int, count: int
) -> Iterator[EngineRow]:
    """Yield the rows of each model; one that fails in OpenVINO has a row with the error.

    Args:
        artifacts: folder of the artifacts.
        models: ids; empty: all.
        openvino: its environment.
        turns: of each graph.
        count: runs of a graph in one turn.
    """
    own_mb = deployed().installed_mb
    for model, directory in newest_versions(artifacts).items():
        if models and model not in models:
            continue
        print(f"engines: {model}", file=sys.stderr, flush=True)
        try:
            yield from _measure_model(model, directory, openvino, turns, count, own_mb)
        except BenchmarkError as error:
            print(f"  {error}", file=sys.stderr, flush=True)
            yield error_row(model, OPENVINO, openvino, "", str(error))


def _measure_model(
    model: str, directory: Path, openvino: Environment, turns: int, count: int, own_mb: float
) -> Iterator[EngineRow]:
    number, limit_s = str(THREADS), MODEL_TIMEOUT_S
    names = (OURS_MODULE, OPENVINO_MODULE)
    graph = str((directory / "float.onnx").resolve())
    with (
        tempfile.TemporaryDirectory(prefix="slipway-engines-") as folder,
        child(CONVERT, names[0], str(directory.resolve()), number, timeout_s=limit_s) as ours,
        child(openvino.python, names[1], graph, number, timeout_s=limit_s) as theirs,
    ):
        files = {
            name: str(Path(folder, f"{name}.npz")) for name in ("calibration", "inputs", "out")
        }
        facts = ours.ask("describe")
        ours.ask("write", files["calibration"], files["inputs"])
        ready, failed = dict[str, dict[str, Any]](), dict[str, str]()
        for name in PRECISIONS:
            try:
                ready[name] = _prepare(name, ours, theirs, files, facts, openvino.python)
            except BenchmarkError as error:
                failed[name] = str(error)
        timings = _time(ours, theirs, list(ready), turns, count)
        held = child(
            Path(sys.executable), HELD_MODULE, str(directory.resolve()), number, timeout_s=limit_s
        )
        with held as holder:
            facts |= {"memory_mb": holder.ask("hold", files["inputs"])}
        facts |= {"installed_mb": own_mb, **ours.ask("judge_served")}
        yield _our_row(model, facts, timings)
        for name in PRECISIONS:
            if name in failed:
                yield error_row(model, OPENVINO, openvino, name, failed[name])
            else:
                yield _their_row(model, name, ready[name], openvino, timings)


def _prepare(
    name: str,
    ours: Child,
    theirs: Child,
    files: Mapping[str, str],
    facts: Mapping[str, Any],
    python: Path,
) -> dict[str, Any]:
    saved = str(Path(files["out"]).with_name(f"{name}.xml"))
    size = theirs.ask("compile", name, files["calibration"], files["inputs"], facts["task"], saved)
    precision = theirs.ask("answer", name, files["out"], facts["outputs"])
    with child(python, OPENVINO_MODULE, saved, str(THREADS), timeout_s=MODEL_TIMEOUT_S) as holder:
        memory_mb = holder.ask("hold", name, files["inputs"])
    judged = ours.ask("judge", files["out"])
    return {"bytes": size, "precision": precision, "memory_mb": memory_mb, **judged}


def _time(ours: Child, theirs: Child, names: Sequence[str], turns: int, count: int) -> Timings:
    """Time ours and theirs in turns, every second turn in reverse order."""
    timings = Timings()
    order = [(ours, "served"), *((theirs, name) for name in names)]
    for turn in range(turns):
        for process, name in order if turn % 2 == 0 else reversed(order):
            timings.add(name, process.ask("run", name, count))
    return timings


def _our_row(model: str, facts: Mapping[str, Any], timings: Timings) -> EngineRow:
    return EngineRow(
        engine=OURS,
        version="",
        model=model,
        precision=facts["precision"],
        threads=THREADS,
        latency=summarize(timings.durations["served"]),
        times_ours=1.0,
        fidelity=facts["fidelity"],
        golden_cosine=facts["golden_cosine"],
        size_mb=facts["bytes"] / 1e6,
        memory_mb=facts["memory_mb"],
        installed_mb=facts["installed_mb"],
        error=None,
    )


def _their_row(
    model: str, name: str, facts: Mapping[str, Any], openvino: Environment, timings: Timings
) -> EngineRow:
    latency = summarize(timings.durations[name])
    detail = openvino.versions.get("nncf", "") if name == "int8" else facts["precision"]
    return EngineRow(
        engine=OPENVINO,
        version=openvino.versions.get("openvino", ""),
        model=model,
        precision=PRECISIONS[name].format(detail),
        threads=THREADS,
        latency=latency,
        times_ours=summarize(timings.durations["served"]).median_ms / latency.median_ms,
        fidelity=facts["fidelity"],
        golden_cosine=facts["golden_cosine"],
        size_mb=facts["bytes"] / 1e6,
        memory_mb=facts["memory_mb"],
        installed_mb=openvino.installed_mb,
        error=None,
    )


def error_row(
    model: str, engine: str, environment: Environment | None, name: str, error: str
) -> EngineRow:
    """Return the row of an engine that failed with a model."""
    version = environment.versions.get("openvino", "") if environment else ""
    return EngineRow(
        engine=engine,
        version=version,
        model=model,
        precision=name,
        threads=THREADS,
        latency=None,
        times_ours=None,
        fidelity={},
        golden_cosine=None,
        size_mb=None,
        memory_mb=None,
        installed_mb=environment.installed_mb if environment else None,
        error=error,
    )

"""The float graph of an artifact in OpenVINO, and quantized by NNCF.

    python -m benchmarks.peers.engines.openvino_child GRAPH THREADS

Runs in the environment of OpenVINO. The settings are those of its guide for latency.
"""

import os
import sys
from pathlib import Path
from typing import Any

import openvino as ov

from benchmarks.peers.engines import wire

PRECISIONS = {"float": {}, "float32": {"INFERENCE_PRECISION_HINT": "f32"}, "int8": {}}
TRANSFORMERS = ("sentence-similarity", "audio-classification")


class OpenVino:
    """The commands."""

    def __init__(self, path: str, threads: int) -> None:
        """Read the graph."""
        self._core = ov.Core()
        self._path = path
        self._threads = threads
        self._compiled: dict[str, Any] = {}
        self._timed: dict[str, Any] = {}  # the same for one shape
        self._inputs: list[wire.Feeds] = []

    def compile(self, name: str, calibration: str, inputs: str, task: str, saved: str) -> int:
        """Compile one precision for the inputs in a file; save the graph, and return its bytes."""
        self._inputs = wire.load(inputs)
        model = self._core.read_model(self._path)
        model.reshape(static_shapes(model, self._inputs))
        if name == "int8":
            model = quantize(model, wire.load(calibration), task)
        settings = self._settings(name)
        self._compiled[name] = self._core.compile_model(model, "CPU", settings)
        timed = model.clone()
        timed.reshape(static_shapes(timed, self._inputs[:1]))  # as its guide says, for the speed
        self._timed[name] = self._core.compile_model(timed, "CPU", settings)
        ov.save_model(model, saved)
        return sum(Path(saved).with_suffix(end).stat().st_size for end in (".xml", ".bin"))

    def _settings(self, name: str) -> dict[str, Any]:
        hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": self._threads}
        return {**hints, **PRECISIONS[name]}

    def hold(self, name: str, inputs: str) -> float:
        """Load the graph as an application does, and run it; return the MB of this process."""
        samples = wire.equal_shapes(wire.load(inputs))
        model = self._core.read_model(self._path)
        model.reshape(static_shapes(model, samples))
        run = runner(self._core.compile_model(model, "CPU", self._settings(name)))
        for feeds in samples:
            run(feeds)
        return wire.resident_mb()

    def answer(self, name: str, path: str, outputs: list[str]) -> str:
        """Write the outputs of all inputs to a file; return the precision that it runs in.

        Args:
            name: of the precision.
            path: of the file.
            outputs: their names in the ONNX file, in its order; OpenVINO may have others.
        """
        run = runner(self._compiled[name])
        wire.save(path, [dict(zip(outputs, run(one), strict=True)) for one in self._inputs])
        return str(self._compiled[name].get_property("INFERENCE_PRECISION_HINT").to_string())

    def run(self, name: str, count: int) -> list[float]:
        """Return the ms of runs."""
        return wire.time_runs(runner(self._timed[name]), self._inputs, count)


def runner(compiled: Any) -> Any:
    """Return a function that runs a compiled graph and returns its outputs in order."""
    request = compiled.create_infer_request()

    def run(feeds: wire.Feeds) -> list[Any]:
        outputs = request.infer(feeds, share_inputs=True)
        return [outputs[one].copy() for one in compiled.outputs]

    return run


def static_shapes(model: Any, tests: list[wire.Feeds]) -> dict[str, Any]:
    """Return the shape of each input: an axis that differs between the inputs stays open."""
    shapes = {}
    for one in model.inputs:
        name = one.get_any_name()
        sizes = [feeds[name].shape for feeds in tests]
        shapes[name] = [axis[0] if len(set(axis)) == 1 else -1 for axis in zip(*sizes, strict=True)]
    return shapes


def quantize(model: Any, samples: list[wire.Feeds], task: str) -> Any:
    """Quantize with NNCF as its guide says: transformers have a scheme of their own."""
    import nncf  # imports for seconds

    kind = nncf.ModelType.TRANSFORMER if task in TRANSFORMERS else None
    return nncf.quantize(model, nncf.Dataset(samples), subset_size=len(samples), model_type=kind)


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = sys.argv[2]
    engine = OpenVino(sys.argv[1], int(sys.argv[2]))
    names = ("compile", "answer", "run", "hold")
    wire.serve({name: getattr(engine, name) for name in names})

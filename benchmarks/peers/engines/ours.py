"""The graphs of an artifact in onnxruntime, their inputs, and the judge of all outputs.

    python -m benchmarks.peers.engines.ours VERSION_DIRECTORY THREADS

Runs in the environment of the conversion, whose media and metrics it uses: the calibration media
are those of the conversion, and no conversion saw the others.
"""

import importlib
import sys
from pathlib import Path
from typing import Any

from benchmarks.peers.engines import wire
from benchmarks.suite.fidelity import lowest_cosine
from runtime import load
from runtime.artifact.golden import read_golden
from runtime.engine.allocator import tune_allocator
from runtime.engine.session import SessionOptions

# samples for NNCF: fewer where one takes long
CALIBRATION, SLOW_CALIBRATION = 48, 16
SLOW_TASKS = ("audio-classification", "video-classification", "image-segmentation")


class Ours:
    """The commands."""

    def __init__(self, directory: Path, threads: int) -> None:
        """Load both graphs; the packaged one may be the float one."""
        options = SessionOptions(threads=threads)
        self._served = load(directory, options=options)
        self._float = load(directory, variant="float", options=options)
        inputs = importlib.import_module("convert.commands.verify.inputs")
        self._golden = read_golden(directory, self._float.manifest)
        samples = [self._golden.feeds(number) for number in range(self._golden.count)]
        tests = [dict(feeds) for feeds in inputs.generate_samples(self._float)]
        self._inputs: list[Any] = [*tests, *samples]
        self._reference = [self._float.run(feeds) for feeds in tests]

    def describe(self) -> dict[str, Any]:
        """Return the precision of what is served, the bytes of its files, its task and outputs."""
        variant = self._served.variant
        return {
            "precision": variant.precision,
            "task": self._served.spec.task,
            "outputs": [output.name for output in self._served.spec.outputs],
            "bytes": sum(file.size_bytes for file in variant.files),
        }

    def write(self, calibration: str, inputs_file: str) -> None:
        """Write what other engines are calibrated with, and what they answer: two files."""
        procedural = importlib.import_module("convert.samples.procedural")
        inputs = importlib.import_module("convert.commands.verify.inputs")
        media = importlib.import_module("convert.samples.media")
        modality = media.MODALITIES[inputs.media_kind(self._float)]
        slow = self._served.spec.task in SLOW_TASKS
        count = SLOW_CALIBRATION if slow else CALIBRATION
        encoded = [modality.encode(one) for one in modality.generate(procedural.CALIBRATION, count)]
        wire.save(calibration, [self._float.prepare(data).feeds for data in encoded])
        wire.save(inputs_file, self._inputs)

    def run(self, name: str, count: int) -> list[float]:
        """Return the ms of runs of "served" or "float"."""
        model = self._served if name == "served" else self._float
        return wire.time_runs(model.session.run, self._inputs, count)

    def judge(self, path: str) -> dict[str, Any]:
        """Return the metrics of outputs in a file, and the golden cosine."""
        return self._measure(wire.load(path))

    def judge_served(self) -> dict[str, Any]:
        """Return the same of the served graph."""
        return self._measure([self._served.run(feeds) for feeds in self._inputs])

    def _measure(self, outputs: list[Any]) -> dict[str, Any]:
        """Compare with the float graph in onnxruntime, and golden samples with the original."""
        count = len(self._reference)
        golden = enumerate(outputs[count:])
        cosine = min(lowest_cosine(one, self._golden.outputs, number) for number, one in golden)
        collate = importlib.import_module("convert.samples.sets").collate
        measure = importlib.import_module("convert.metrics").measure
        suppression = self._float.spec.suppression
        metrics = measure(collate(self._reference), collate(outputs[:count]), suppression).metrics
        fidelity = {name: float(value) for name, value in metrics.items()}
        return {"fidelity": fidelity, "golden_cosine": cosine}


if __name__ == "__main__":
    tune_allocator()  # as the server does
    ours = Ours(Path(sys.argv[1]), int(sys.argv[2]))
    wire.serve(
        {
            "describe": ours.describe,
            "write": ours.write,
            "run": ours.run,
            "judge": ours.judge,
            "judge_served": ours.judge_served,
        }
    )

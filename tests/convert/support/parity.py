"""A loaded network's reference answers, and the float graph that the pipeline would package."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from convert.export.graph.surgery import canonicalize
from convert.export.numerics import attach
from convert.gate.rule import rule_for
from convert.metrics import Outputs, max_abs_difference
from convert.quantize.choose import Choice, choose
from convert.recipe import Loaded, Tolerance, output_shapes
from convert.samples.sets import Samples, SampleSets
from convert.verify.parity import run_graph, run_samples
from runtime.engine.session import Session
from runtime.media.images.decode import decode_image
from runtime.media.images.preprocess import preprocess

Batch = NDArray[np.uint8]


def read_images(paths: Sequence[Path], loaded: Loaded) -> Batch:
    """Read files as a server does: decoded and resized for the graph."""
    images = (decode_image(path.read_bytes()) for path in paths)
    return np.stack([preprocess(image, loaded.preprocess) for image in images])


def rows(batch: Batch) -> Samples:
    """Return a batch of images as samples."""
    return tuple({"image": row[np.newaxis]} for row in batch)


def expected(loaded: Loaded, batch: Batch) -> Outputs:
    """Return the framework's answers, with numerics by their numpy formulas."""
    return loaded.head.apply(*loaded.network.forward(*loaded.input.apply(batch)))


def write_float_graph(loaded: Loaded, path: Path) -> onnx.ModelProto:
    """Write the float graph with its numerics, as the pipeline exports it."""
    tensors = loaded.head.tensors(output_shapes(loaded), loaded.input.tensors)
    core = canonicalize(loaded.network.export(), prefix="net/")
    model = attach(core, input=loaded.input, head=loaded.head, outputs=tensors)
    onnx.save(model, path)
    return model


def run_and_choose(
    path: Path, samples: SampleSets, *, tolerance: Tolerance, **options: Any
) -> Choice:
    """Run a float graph on the test samples, then choose what to package instead of it."""
    run, rows = run_graph(path, samples.test), samples.sources
    rule = rule_for(tolerance, run.outputs, rows=rows, nms=options.get("suppression"))
    return choose(run, samples, rule=rule, **options)


def differences(loaded: Loaded, batch: Batch, scratch: Path) -> dict[str, float]:
    """Return the largest absolute difference from the reference, rows alone and in threes."""
    path = scratch / "float.onnx"
    write_float_graph(loaded, path)
    return compared(expected(loaded, batch), path, batch)


def compared(reference: Outputs, path: Path, batch: Batch) -> dict[str, float]:
    """Return what `differences` does, for a graph that is on disk already."""
    session = Session(path)
    together = [session.run({"image": batch[at : at + 3]}) for at in range(0, len(batch), 3)]
    joined = {name: np.concatenate([run[name] for run in together]) for name in together[0]}
    return {
        "batch_1": max_abs_difference(reference, run_samples(path, rows(batch))),
        "batch_3": max_abs_difference(reference, joined),
    }

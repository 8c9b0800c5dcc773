"""The stage "export": a loaded network to a float graph that equals the reference framework."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx

from convert.export.graph.surgery import canonicalize
from convert.export.numerics import attach
from convert.metrics import Outputs
from convert.pipeline.load import Reference
from convert.recipe import output_shapes
from convert.verify.parity import GraphRun, check_parity, run_graph
from runtime.artifact.manifest import TensorSpec


@dataclass(frozen=True, slots=True)
class Exported:
    """The float graph, proved equal to the reference on the test samples."""

    run: GraphRun  # the graph, and its outputs of the test samples
    tensors: tuple[TensorSpec, ...]  # outputs of the graph, as the spec lists them
    reference: Outputs  # the framework's answers to the test samples
    parity: Mapping[str, float]  # largest absolute differences, by batch size


def export_float(reference: Reference, scratch: Path) -> Exported:
    """Export the network with its numerics and compare it with the framework on the test samples.

    Args:
        reference: the network in its framework.
        scratch: receives `exported.onnx`.

    Raises:
        ExportError: the framework cannot export the network.
        VerificationError: the graph differs from the framework by more than the tolerance.
    """
    loaded, samples = reference.loaded, reference.samples.test
    answers = reference.answer(samples)
    tensors = tuple(loaded.head.tensors(output_shapes(loaded), loaded.input.tensors))
    core = canonicalize(loaded.network.export(), prefix="net/")
    path = scratch / "exported.onnx"
    onnx.save(attach(core, input=loaded.input, head=loaded.head, outputs=tensors), path)
    run = run_graph(path, samples)
    parity = check_parity(answers, run, lambda: reference.answer(samples, rounded=True))
    return Exported(run, tensors, answers, parity)

"""Parity with the reference, independence of rows, and integer operators, measured as served.

Everything runs the packaged file through the session that serves it.
"""

import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convert.errors import VerificationError
from convert.metrics import Outputs, max_abs_difference
from convert.samples.sets import collate, same_shape_indices
from convert.verify.op_types import op_types
from runtime.engine.session import Feeds, Session, SessionOptions

PARITY_TOLERANCE = 1e-4  # reference framework against float graph, max abs over all outputs
# a network that answers otherwise by this after one rounding of its input amplifies rounding
SENSITIVE = PARITY_TOLERANCE / 10
# a batch may be summed in another order; beyond this a row depends on the other rows
BATCH_TOLERANCE = 1e-5
BATCH = 3
THREADS = 2
BATCH_RANGE_OPERATORS = ("DynamicQuantizeLinear",)  # they measure one range over the whole batch
# names of operators that compute in integers, after onnxruntime's fusions
INTEGER_OPERATOR = re.compile(r"QLinear\w+|QGemm|\w+Integer\w*|DynamicQuantize\w+|MatMulNBits")


@dataclass(frozen=True, slots=True)
class GraphRun:
    """The outputs of one graph on the test samples, kept so that no stage runs it on them again."""

    path: Path
    outputs: Outputs  # of every sample, one run each
    batch_rows: tuple[int, ...]  # indices of the samples that also ran together
    batch_outputs: Outputs  # of those samples in one run

    @property
    def batch_difference(self) -> float:
        """Return the largest absolute difference between rows of the batch and their own runs."""
        return max_abs_difference(self.select_batch(self.outputs), self.batch_outputs)

    def select_batch(self, outputs: Outputs) -> Outputs:
        """Return the rows of the samples in the batch, from outputs with a row for every sample."""
        rows = list(self.batch_rows)
        return {name: array[rows] for name, array in outputs.items()}


def run_graph(path: Path, samples: Sequence[Feeds]) -> GraphRun:
    """Run a graph once per sample, and once on a batch of BATCH samples of equal shapes.

    Args:
        path: the ONNX file.
        samples: preprocessed, batch axis 1; repeated in the batch if too few have equal shapes.
    """
    rows = same_shape_indices(samples, BATCH)
    session = Session(path, SessionOptions(threads=THREADS))
    batch_outputs = session.run(collate([samples[row] for row in rows]))
    outputs = collate([session.run(feeds) for feeds in samples])
    return GraphRun(path, outputs, tuple(rows), batch_outputs)


def run_samples(path: Path, samples: Sequence[Feeds]) -> Outputs:
    """Run each sample alone, so that memory stays that of one, and stack the outputs."""
    session = Session(path, SessionOptions(threads=THREADS))
    return collate([session.run(feeds) for feeds in samples])


def check_parity(
    reference: Outputs, run: GraphRun, rounded: Callable[[], Outputs] | None = None
) -> dict[str, float]:
    """Compare the float graph with the reference framework, rows alone and in one batch.

    Args:
        reference: the framework's outputs for the samples that the graph ran on.
        run: the run of the float graph.
        rounded: returns the framework's outputs for the same samples after one rounding of each
            input value. It is called for a refusal only, to tell rounding from another network.

    Returns:
        The largest absolute difference of single samples and of the batch, under the keys
        "max_abs_difference_batch_1" and "max_abs_difference_batch_3", as in the manifest.

    Raises:
        VerificationError: a difference exceeds PARITY_TOLERANCE, or the reference returns the same
            output for each of several samples, which proves nothing.
    """
    count = min(len(array) for array in reference.values())
    if count > 1 and all(bool((a == a[:1]).all()) for a in reference.values()):
        raise VerificationError("the reference gives the same output for every input")
    alone = max_abs_difference(reference, run.outputs)
    together = max_abs_difference(run.select_batch(reference), run.batch_outputs)
    for size, difference in ((1, alone), (BATCH, together)):
        if not difference <= PARITY_TOLERANCE:
            raise VerificationError(
                f"the float graph differs from the reference by {difference:.2e} at batch {size}; "
                f"allowed: {PARITY_TOLERANCE:.0e}{_advice(reference, rounded)}"
            )
    return {"max_abs_difference_batch_1": alone, f"max_abs_difference_batch_{BATCH}": together}


def _advice(reference: Outputs, rounded: Callable[[], Outputs] | None) -> str:
    """Return what to do where the network itself amplifies rounding, or nothing."""
    moved = _largest_change(reference, rounded()) if rounded else 0
    if not moved >= SENSITIVE:
        return ""
    return (
        ". The network amplifies rounding: one float32 rounding of each input value moves the "
        f"reference itself by {moved:.0e}, and every layer rounds. Networks with untrained weights "
        "do so, and others on samples unlike their training data. Convert trained weights, or pass "
        "files like the training data: --calibration DIR"
    )


def _largest_change(before: Outputs, after: Outputs) -> float:
    """Return the largest change of any output, relative to its largest value if that is above 1."""
    return max(
        float(np.abs(after[name] - array).max()) / max(1.0, float(np.abs(array).max()))
        for name, array in before.items()
    )


def batch_invariant(path: Path, samples: Sequence[Feeds]) -> bool:
    """Run BATCH samples together and one by one; return `rows_are_independent` of the runs."""
    batch = [samples[row] for row in same_shape_indices(samples, BATCH)]
    return rows_are_independent(run_graph(path, batch))


def rows_are_independent(run: GraphRun) -> bool:
    """Return True if every row of the batch equals its own run within BATCH_TOLERANCE.

    A graph that measures a range over the whole batch never has independent rows, even where these
    samples show no difference.
    """
    if any(name in BATCH_RANGE_OPERATORS for name in op_types(run.path)):
        return False
    return run.batch_difference <= BATCH_TOLERANCE


def integer_operators(path: Path) -> Mapping[str, int]:
    """Count the integer operators, by type, after onnxruntime optimised the graph for this CPU."""
    with tempfile.TemporaryDirectory(prefix="slipway-") as directory:
        optimized = Path(directory, "optimized.onnx")
        Session(path, SessionOptions(threads=1, optimized_path=optimized))
        counts = op_types(optimized)
    return {name: count for name, count in counts.items() if INTEGER_OPERATOR.fullmatch(name)}

"""What is measured on the very file that will serve, through the session that will serve it."""

import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from convert.errors import VerificationError
from convert.metrics import Outputs, max_abs_difference
from convert.samples.sets import companions, joined
from convert.verify.op_types import op_types
from runtime.engine.session import Feeds, Session, SessionOptions

PARITY_TOLERANCE = 1e-4  # reference framework against float graph, max abs over all outputs
# batches may be summed in another order; past this a row depends on its companions
BATCH_TOLERANCE = 1e-5
BATCH = 3
MEASURED_AT_RUN = ("DynamicQuantizeLinear",)
# operators that compute in integers, as onnxruntime names them after fusion
INTEGER_OPERATOR = re.compile(r"QLinear\w+|QGemm|\w+Integer\w*|DynamicQuantize\w+|MatMulNBits")


def run_rows(path: Path, samples: Sequence[Feeds], *, threads: int = 2) -> Outputs:
    """Outputs of samples, one run each, so that memory stays that of one."""
    session = Session(path, SessionOptions(threads=threads))
    return joined([session.run(feeds) for feeds in samples])


def check_parity(reference: Outputs, path: Path, samples: Sequence[Feeds]) -> dict[str, float]:
    """Reference framework against float graph, rows alone and in one batch.

    Returns:
        Largest absolute difference at each batch size.

    Raises:
        VerificationError: over PARITY_TOLERANCE, or a constant reference, which proves nothing.
    """
    if len(samples) > 1 and all(bool((a == a[:1]).all()) for a in reference.values()):
        raise VerificationError("the reference gives the same output for every input")
    alone = max_abs_difference(reference, run_rows(path, samples))
    rows = companions(samples, BATCH)
    batch = Session(path).run(joined([samples[row] for row in rows]))
    together = max_abs_difference({k: v[rows] for k, v in reference.items()}, batch)
    for size, difference in ((1, alone), (BATCH, together)):
        if not difference <= PARITY_TOLERANCE:
            raise VerificationError(
                f"the float graph differs from the reference by {difference:.2e} at batch {size}; "
                f"allowed: {PARITY_TOLERANCE:.0e}"
            )
    return {"max_abs_difference_batch_1": alone, f"max_abs_difference_batch_{BATCH}": together}


def batch_invariant(path: Path, samples: Sequence[Feeds]) -> bool:
    """True when row i of a batch equals row i alone.

    A graph that measures a range over the whole batch never is one, whatever these rows give.
    """
    if any(name in MEASURED_AT_RUN for name in op_types(path)):
        return False
    batch = [samples[row] for row in companions(samples, BATCH)]
    alone = run_rows(path, batch)
    together = Session(path, SessionOptions(threads=2)).run(joined(batch))
    return max_abs_difference(alone, together) <= BATCH_TOLERANCE


def integer_operators(path: Path) -> Mapping[str, int]:
    """Integer operators, by type, in the graph as onnxruntime optimises it for this machine."""
    with tempfile.TemporaryDirectory(prefix="slipway-") as directory:
        optimized = Path(directory, "optimized.onnx")
        Session(path, SessionOptions(threads=1, optimized_path=optimized))
        found = op_types(optimized)
    return {name: count for name, count in found.items() if INTEGER_OPERATOR.fullmatch(name)}

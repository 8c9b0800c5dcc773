"""Large batches in small runs, so that one request cannot take the memory of the host."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from runtime import Model
from serve.protocol_v2.tensors import Array

# A run's memory grows with its rows: 34 images fit a 10 MB body of u2netp, whose activations are
# some 100 MB each. Below this size a batch runs whole; above it the rows run in turns. On a CPU
# that costs little, and where the artifact is batch-invariant it changes nothing.
CHUNK_BYTES = 320 * 1024
# A row of 256 tokens is 4 kB with its mask; of twelve heads of attention the scores alone are 3 MB.
TOKEN_WEIGHT = 8


def run_in_chunks(
    model: Model, feeds: Mapping[str, Array], output_names: Sequence[str]
) -> Mapping[str, Array]:
    """Run the rows of a batch, a few at a time.

    Args:
        model: if it is not batch-invariant, its rows run one by one: each answer is then the one
            that the row gets alone.
        feeds: arrays of the model's shapes; the first axis is the batch.
        output_names: in the order wanted.

    Raises:
        InputError: a tensor does not fit the model.
    """
    rows = _batch_size(model, feeds)
    if rows is None:
        return model.run(feeds, output_names)
    size = rows_per_run(row_cost(feeds, rows), batch_invariant=model.variant.batch_invariant)
    runs = [model.run(chunk, output_names) for chunk in _chunks(feeds, rows, size)]
    return {name: np.concatenate([run[name] for run in runs]) for name in output_names}


def row_cost(feeds: Mapping[str, Array], rows: int) -> int:
    """What a row counts, in bytes of pixels that would take as much memory in a run."""
    weighed = (a.nbytes * (TOKEN_WEIGHT if a.dtype == np.int64 else 1) for a in feeds.values())
    return sum(weighed) // rows


def rows_per_run(row_bytes: int, *, batch_invariant: bool) -> int:
    """How many rows of that size run at once, at least 1."""
    return max(1, CHUNK_BYTES // max(1, row_bytes)) if batch_invariant else 1


def _batch_size(model: Model, feeds: Mapping[str, Array]) -> int | None:
    """Rows of the batch; None where some input or output has no batch axis in front."""
    tensors = [*model.spec.inputs, *model.spec.outputs]
    axes = {tensor.shape[0] if tensor.shape else None for tensor in tensors}
    if len(axes) != 1 or not isinstance(axes.pop(), str):
        return None
    sizes: set[int] = {array.shape[0] for array in feeds.values()}
    return min(sizes)


def _chunks(feeds: Mapping[str, Array], rows: int, size: int) -> Iterator[Mapping[str, Array]]:
    for first in range(0, rows, size):
        yield {name: array[first : first + size] for name, array in feeds.items()}

"""Run a large batch in several small runs, so that one request cannot take the host's memory."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from runtime import Model
from serve.protocol_v2.tensors import Array

# A run's memory grows with its rows: 34 images fit a 10 MB body of u2netp, whose activations take
# some 100 MB each. A batch below this size runs whole; a larger one runs some rows at a time. On a
# CPU that costs little, and it changes no answer: where rows of a batch influence each other, the
# model itself runs them one by one.
CHUNK_BYTES = 320 * 1024
# A row of 256 tokens has 4 kB with its mask; the scores of twelve attention heads alone take 3 MB.
TOKEN_WEIGHT = 8


def run_in_chunks(
    model: Model, feeds: Mapping[str, Array], output_names: Sequence[str]
) -> Mapping[str, Array]:
    """Run the rows of a batch, a few at a time.

    Args:
        model: the model to run.
        feeds: arrays of the model's shapes; the first axis is the batch.
        output_names: the outputs to return, in this order.

    Raises:
        InputError: a tensor does not fit the model.
    """
    rows = _batch_size(model, feeds)
    if rows is None:
        return model.run(feeds, output_names)
    size = rows_per_run(row_cost(feeds, rows))
    runs = [model.run(chunk, output_names) for chunk in _chunks(feeds, rows, size)]
    return {name: np.concatenate([run[name] for run in runs]) for name in output_names}


def row_cost(feeds: Mapping[str, Array], rows: int) -> int:
    """Return the memory cost of a row, as the bytes of pixels that would take as much in a run."""
    weighted = (a.nbytes * (TOKEN_WEIGHT if a.dtype == np.int64 else 1) for a in feeds.values())
    return sum(weighted) // rows


def rows_per_run(row_bytes: int) -> int:
    """Return how many rows of that cost run at once, at least 1."""
    return max(1, CHUNK_BYTES // max(1, row_bytes))


def _batch_size(model: Model, feeds: Mapping[str, Array]) -> int | None:
    """Return the rows of the batch; None if an input or output does not begin with a batch axis."""
    tensors = [*model.spec.inputs, *model.spec.outputs]
    axes = {tensor.shape[0] if tensor.shape else None for tensor in tensors}
    if len(axes) != 1 or not isinstance(axes.pop(), str):
        return None
    sizes: set[int] = {array.shape[0] for array in feeds.values()}
    return min(sizes)


def _chunks(feeds: Mapping[str, Array], rows: int, size: int) -> Iterator[Mapping[str, Array]]:
    for first in range(0, rows, size):
        yield {name: array[first : first + size] for name, array in feeds.items()}

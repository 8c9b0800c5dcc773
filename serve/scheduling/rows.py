"""Rows of a run: which axis they are, and how many a run takes at once."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.artifact.manifest import Spec

# A run's memory grows with its rows: 34 images fit a 10 MB body of u2netp, whose activations take
# some 100 MB each. A batch below this size runs whole; a larger one runs some rows at a time. On a
# CPU that costs little, and it changes no answer: where rows of a batch influence each other, the
# model itself runs them one by one.
CHUNK_BYTES = 320 * 1024
# A row of 256 tokens has 4 kB with its mask; the scores of twelve attention heads alone take 3 MB.
TOKEN_WEIGHT = 8


def row_cost(feeds: Mapping[str, NDArray[Any]], rows: int) -> int:
    """Return the memory cost of a row, as the bytes of pixels that would take as much in a run."""
    weighted = (a.nbytes * (TOKEN_WEIGHT if a.dtype == np.int64 else 1) for a in feeds.values())
    return sum(weighted) // rows


def rows_per_run(row_bytes: int) -> int:
    """Return how many rows of that cost run at once, at least 1."""
    return max(1, CHUNK_BYTES // max(1, row_bytes))


def batch_axis(spec: Spec) -> str | None:
    """Return the axis of the rows; None if an input or output does not begin with it."""
    axes = {tensor.shape[0] if tensor.shape else None for tensor in (*spec.inputs, *spec.outputs)}
    axis = axes.pop()
    return axis if not axes and isinstance(axis, str) else None


def count_rows(feeds: Mapping[str, NDArray[Any]]) -> int:
    """Return the rows of the inputs of a run."""
    return min(len(array) for array in feeds.values())

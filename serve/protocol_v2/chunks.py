"""Run a large batch in several small runs, so that one request cannot take the host's memory."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from runtime import Model
from runtime.artifact.manifest import Spec
from runtime.artifact.spec import numpy_dtype
from runtime.errors import InputError
from serve.protocol_v2.tensors import Array

# A run's memory grows with its rows: 34 images fit a 10 MB body of u2netp, whose activations take
# some 100 MB each. A batch below this size runs whole; a larger one runs some rows at a time. On a
# CPU that costs little, and it changes no answer: where rows of a batch influence each other, the
# model itself runs them one by one.
CHUNK_BYTES = 320 * 1024
# A row of 256 tokens has 4 kB with its mask; the scores of twelve attention heads alone take 3 MB.
TOKEN_WEIGHT = 8


@dataclass(frozen=True, slots=True)
class Execution:
    """One run of a graph."""

    rows: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Runs:
    """The outputs of a request, and the runs that computed them."""

    outputs: Mapping[str, Array]  # by name, in the order that was asked for
    executions: tuple[Execution, ...]

    @property
    def rows(self) -> int:
        """Return the rows of the request."""
        return sum(execution.rows for execution in self.executions)


def run_in_chunks(model: Model, feeds: Mapping[str, Array], output_names: Sequence[str]) -> Runs:
    """Run the rows of a batch, a few at a time. A batch without rows runs nothing.

    Args:
        model: the model to run.
        feeds: arrays of the model's shapes; the first axis is the batch.
        output_names: the outputs to return, in this order.

    Raises:
        InputError: a tensor does not fit the model, or the model has no rows and a first axis is 0.
    """
    axis = batch_axis(model.spec)
    rows = 1 if axis is None else min(array.shape[0] for array in feeds.values())
    if axis is None:
        return _joined([_run(model, feeds, output_names, 1)], output_names)
    if rows == 0:
        return Runs(_without_rows(model.spec, feeds, output_names), ())
    size = rows_per_run(row_cost(feeds, rows))
    if rows <= size:
        return _run(model, feeds, output_names, rows)
    outputs: dict[str, Array] = {}
    executions: list[Execution] = []
    for first, chunk in _chunks(feeds, rows, size):
        part = _run(model, chunk, output_names, min(size, rows - first))
        executions += part.executions
        # Copied at once: an output that stays in the place of freed tensors makes it too small for
        # those of the next run, and the heap grows with each.
        for name, array in part.outputs.items():
            if not first:
                outputs[name] = np.empty((rows, *array.shape[1:]), array.dtype)
            outputs[name][first : first + size] = array
    return Runs(outputs, tuple(executions))


def join(parts: Sequence[Runs], output_names: Sequence[str]) -> Runs:
    """Join the outputs of several requests row by row.

    Raises:
        InputError: an output has other axes in one of them than in another.
    """
    for name in output_names:
        shapes = sorted({part.outputs[name].shape[1:] for part in parts})
        if len(shapes) > 1:
            raise InputError(
                f"output {name!r} has rows of shapes {', '.join(map(str, shapes))}; send the "
                "inputs one at a time"
            )
    return _joined(parts, output_names)


def _joined(parts: Sequence[Runs], output_names: Sequence[str]) -> Runs:
    executions = tuple(execution for part in parts for execution in part.executions)
    if len(parts) == 1:
        return Runs(parts[0].outputs, executions)
    outputs = {name: np.concatenate([p.outputs[name] for p in parts]) for name in output_names}
    return Runs(outputs, executions)


def _run(model: Model, feeds: Mapping[str, Array], output_names: Sequence[str], rows: int) -> Runs:
    before_s = time.perf_counter()
    outputs = model.run(feeds, output_names)
    return Runs(outputs, (Execution(rows, time.perf_counter() - before_s),))


def _without_rows(
    spec: Spec, feeds: Mapping[str, Array], output_names: Sequence[str]
) -> dict[str, Array]:
    """Return outputs without rows; an axis that no input has is 0."""
    tensors = {tensor.name: tensor for tensor in spec.outputs}
    axes = axes_of(feeds, spec)
    shapes = {
        name: [axes.get(a, 0) if isinstance(a, str) else a for a in tensors[name].shape]
        for name in output_names
    }
    try:
        return {name: np.empty(shapes[name], numpy_dtype(tensors[name].dtype)) for name in shapes}
    except ValueError as error:  # numpy bounds the size of a row even of no rows
        raise InputError(f"no rows, and axes of {axes}: {error}") from None


def axes_of(feeds: Mapping[str, Array], spec: Spec) -> dict[str, int]:
    """Return the sizes of the axes of any size, by name, that the feeds have."""
    return {
        axis: size
        for tensor in spec.inputs
        if tensor.name in feeds
        for axis, size in zip(tensor.shape, feeds[tensor.name].shape, strict=True)
        if isinstance(axis, str)
    }


def row_cost(feeds: Mapping[str, Array], rows: int) -> int:
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


def _chunks(
    feeds: Mapping[str, Array], rows: int, size: int
) -> Iterator[tuple[int, Mapping[str, Array]]]:
    for first in range(0, rows, size):
        yield first, {name: array[first : first + size] for name, array in feeds.items()}

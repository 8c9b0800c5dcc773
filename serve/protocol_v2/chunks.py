"""Run a large batch in several small runs, so that one request cannot take the host's memory."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from runtime import Model
from runtime.artifact.manifest import Spec
from runtime.artifact.spec import numpy_dtype
from runtime.errors import InputError
from serve.protocol_v2.tensors import Array
from serve.scheduling.rows import batch_axis, count_rows, row_cost, rows_per_run

Outputs = Mapping[str, Array]  # by name, in the order that was asked for


def run_in_chunks(model: Model, feeds: Mapping[str, Array], output_names: Sequence[str]) -> Outputs:
    """Run the rows of a batch, a few at a time. A batch without rows runs nothing.

    Args:
        model: the model to run.
        feeds: arrays of the model's shapes; the first axis is the batch.
        output_names: the outputs to return, in this order.

    Raises:
        InputError: a tensor does not fit the model, or the model has no rows and a first axis is 0.
    """
    if batch_axis(model.spec) is None:
        return model.run(feeds, output_names)
    rows = count_rows(feeds)
    if rows == 0:
        return _without_rows(model.spec, feeds, output_names)
    size = rows_per_run(row_cost(feeds, rows))
    if rows <= size:
        return model.run(feeds, output_names)
    outputs: dict[str, Array] = {}
    for first, chunk in _chunks(feeds, rows, size):
        # Copied at once: an output that stays in the place of freed tensors makes it too small for
        # those of the next run, and the heap grows with each.
        for name, array in model.run(chunk, output_names).items():
            if not first:
                outputs[name] = np.empty((rows, *array.shape[1:]), array.dtype)
            outputs[name][first : first + size] = array
    return outputs


def join(parts: Sequence[Outputs], output_names: Sequence[str]) -> Outputs:
    """Join the outputs of several requests row by row.

    Raises:
        InputError: an output has other axes in one of them than in another.
    """
    for name in output_names:
        shapes = sorted({part[name].shape[1:] for part in parts})
        if len(shapes) > 1:
            raise InputError(
                f"output {name!r} has rows of shapes {', '.join(map(str, shapes))}; send the "
                "inputs one at a time"
            )
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in output_names}


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


def _chunks(
    feeds: Mapping[str, Array], rows: int, size: int
) -> Iterator[tuple[int, Mapping[str, Array]]]:
    for first in range(0, rows, size):
        yield first, {name: array[first : first + size] for name, array in feeds.items()}

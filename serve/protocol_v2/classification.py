"""The extension `classification`: an output as the strings value:index:label, the best first."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.artifact.manifest import TensorSpec
from runtime.errors import InputError, TooLargeError
from serve.protocol_v2.tensors import Array
from serve.text.messages import repr_truncated

MAX_STRINGS = 2**16  # of an answer


def class_count(parameters: Mapping[str, Any], tensor: TensorSpec) -> int:
    """Return the classes per row that an output is asked for; 0 if it is asked for as it is.

    Raises:
        InputError: the parameter is no integer of 1 or more, or the output no batch of numbers.
    """
    count = parameters.get("classification", 0)
    if "classification" not in parameters:
        return 0
    place = f"classification of output {tensor.name!r}"
    if type(count) is not int or count < 1:
        raise InputError(f"{place} is {repr_truncated(count)}; allowed: an integer >= 1")
    if len(tensor.shape) < 2 or tensor.dtype in ("bool", "string"):
        raise InputError(f"{place} needs numbers in rows; it is {tensor.dtype} {tensor.shape}")
    return min(count, MAX_STRINGS)


def best_classes(array: Array, count: int, labels: Sequence[str]) -> Array:
    """Return the best values of each row as strings.

    Args:
        array: (N, ...), numbers.
        count: strings per row, at most as many as it has elements.
        labels: of the elements of a row; another number of them names none.

    Returns:
        (N, count) of str: value:index, or value:index:label.

    Raises:
        TooLargeError: these are too many strings.
    """
    rows = array.reshape(array.shape[0], -1) if array.size else array.reshape(array.shape[0], 0)
    count = min(count, rows.shape[1])
    if count * len(rows) > MAX_STRINGS:
        raise TooLargeError(f"{count * len(rows)} classes are asked for; allowed: {MAX_STRINGS}")
    names = [f":{label}" for label in labels] if len(labels) == rows.shape[1] else None
    strings = np.empty((len(rows), count), object)
    for number, row in enumerate(rows):
        # stable: of equal values the first class comes first; NaN comes last
        order = np.argsort(_descending(row), kind="stable")[:count]
        strings[number] = [
            f"{_number(row[index])}:{index}{names[index] if names else ''}" for index in order
        ]
    return strings


def _descending(row: NDArray[Any]) -> NDArray[Any]:
    """Return keys that rise where the values fall, without overflow."""
    keys: NDArray[Any] = np.negative(row) if row.dtype.kind == "f" else np.invert(row)
    return keys


def _number(value: Any) -> str:
    return f"{value:f}" if isinstance(value, np.floating) else str(value)

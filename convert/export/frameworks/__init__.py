"""Networks in the framework that they were trained in, one file per framework.

Each implements `Network`: run it for reference values, export it to ONNX, list its weights.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray


class Network(Protocol):
    """A network in its own framework; the first axis of its inputs and outputs is the batch."""

    framework: str  # "torch", "keras", ...; used in messages and in the manifest

    def forward(self, *inputs: NDArray[Any]) -> tuple[NDArray[np.float32], ...]:
        """Run the reference.

        Args:
            inputs: arrays (N, ...) in the framework's layout, one per input.

        Returns:
            The raw outputs, (N, ...) each.
        """
        ...

    def export(self) -> onnx.ModelProto:
        """Return the float graph, at `OPSET` of `convert.export.graph.opset`.

        Inputs and outputs have the network's order, the batch axis may have any size, and images
        are (N, C, H, W) whatever the framework's layout.
        """
        ...

    def weights(self) -> Mapping[str, NDArray[np.generic]]:
        """Return every tensor of the model, by name; they are its identity."""
        ...


def forward_by_row(
    call: Callable[..., Sequence[NDArray[Any]]], inputs: Sequence[NDArray[Any]]
) -> tuple[NDArray[np.float32], ...]:
    """Run a batch one sample at a time, so that memory does not grow with the batch.

    Args:
        call: the network: one array of batch axis 1 per input to one array per output.
        inputs: arrays (N, ...), one per input of the network.

    Returns:
        One array (N, ...) per output.
    """
    rows = [call(*(array[np.newaxis] for array in row)) for row in zip(*inputs, strict=True)]
    return tuple(np.concatenate(arrays) for arrays in zip(*rows, strict=True))

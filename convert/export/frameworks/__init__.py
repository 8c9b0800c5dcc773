"""Networks in the framework they were trained in: run for reference values, exported to ONNX.

One file per framework, all with the same three verbs; see `Network`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray


class Network(Protocol):
    """A network in its own framework: tensors in, tensors out, all with the batch axis first."""

    framework: str  # "torch", "keras", "onnx": for messages and the manifest

    def forward(self, *inputs: NDArray[Any]) -> tuple[NDArray[np.float32], ...]:
        """Run the reference: its inputs in the framework's layout to its raw outputs."""
        ...

    def export(self) -> onnx.ModelProto:
        """Return the float graph, at `OPSET` of `convert.export.graph.opset`.

        Its inputs and outputs have the order of this network's.

        Images are (N, C, H, W) whatever the framework's layout; the batch axis is free.
        """
        ...

    def weights(self) -> Mapping[str, NDArray[np.generic]]:
        """Every tensor of the model, by name: its identity."""
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

"""Networks in the framework they were trained in: run for reference values, exported to ONNX.

One file per framework, all with the same three verbs; see `Network`.
"""

from collections.abc import Mapping
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

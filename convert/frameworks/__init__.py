"""Networks in the framework they were trained in: run for reference values, exported to ONNX.

One file per framework, all with the same three verbs; see `Network`.
"""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import onnx
from numpy.typing import NDArray


class Network(Protocol):
    """A network with one image input and one output, in its own framework."""

    framework: str  # "torch", "keras", "onnx": for messages and the manifest

    def forward(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run the reference: normalised input in the framework's layout to raw output."""
        ...

    def export(self) -> onnx.ModelProto:
        """Float graph at `convert.graph.OPSET`, input (N, C, H, W), batch axis free."""
        ...

    def weights(self) -> Mapping[str, NDArray[np.generic]]:
        """Every tensor of the model, by name: its identity."""
        ...

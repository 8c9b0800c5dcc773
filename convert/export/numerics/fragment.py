"""What numerics are made of: nodes with their constants, and the two kinds of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from runtime.artifact.manifest import TensorSpec

PREFIX = "numerics/"
Array = NDArray[np.float32]
Shape = tuple[int | str, ...]  # a string is an axis of any size


@dataclass(frozen=True, slots=True)
class Fragment:
    """Nodes and constants to put before or after a network."""

    nodes: tuple[onnx.NodeProto, ...]
    initializers: tuple[onnx.TensorProto, ...] = ()


class Input(Protocol):
    """From the graph's inputs to what the network takes."""

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """The graph's inputs."""
        ...

    def apply(self, *given: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """The reference formula: an array per graph input to an array per network input."""
        ...

    def nodes(self, *outputs: str) -> Fragment:
        """The same as ONNX nodes, to tensors of these names, one per network input."""
        ...


class Head(Protocol):
    """From the network's outputs to the task's outputs."""

    def expected_shapes(self, inputs: Sequence[TensorSpec]) -> tuple[Shape, ...]:
        """Shapes of the network's outputs that it takes, where the graph's inputs are these."""
        ...

    def tensors(
        self, shapes: Sequence[tuple[int, ...]], inputs: Sequence[TensorSpec]
    ) -> tuple[TensorSpec, ...]:
        """The graph's outputs, where the network's outputs have these shapes."""
        ...

    def apply(self, *raw: Array) -> Mapping[str, Array]:
        """The reference formula, from the network's outputs to arrays by output name."""
        ...

    def nodes(self, *sources: str) -> Fragment:
        """The same as ONNX nodes, from the tensors of these names."""
        ...


def constant(name: str, value: NDArray[Any] | np.generic) -> onnx.TensorProto:
    """An initializer; `name` without PREFIX."""
    return numpy_helper.from_array(np.asarray(value), PREFIX + name)

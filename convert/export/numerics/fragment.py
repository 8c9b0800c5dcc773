"""Fragments of ONNX graphs, and the two protocols of numerics: `Input` and `Head`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from runtime.artifact.manifest import TensorSpec

PREFIX = "numerics/"
Array = NDArray[np.float32]
Shape = tuple[int | str, ...]  # a string names an axis of any size


@dataclass(frozen=True, slots=True)
class Fragment:
    """Nodes and constants to put before or after a network."""

    nodes: tuple[onnx.NodeProto, ...]
    initializers: tuple[onnx.TensorProto, ...] = ()


class Input(Protocol):
    """Numerics from the graph's inputs to the network's inputs."""

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """Return the graph's inputs: names, dtypes and shapes."""
        ...

    def apply(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Compute the network's inputs in numpy.

        Args:
            inputs: one array per graph input, in the order of `tensors`.

        Returns:
            One array per network input, in the layout of the reference framework.
        """
        ...

    def nodes(self, *targets: str) -> Fragment:
        """Return the same formula in ONNX.

        Args:
            targets: names of the tensors to write, one per network input.
        """
        ...


class Head(Protocol):
    """Numerics from the network's outputs to the task's outputs."""

    def expected_shapes(self, inputs: Sequence[TensorSpec]) -> tuple[Shape, ...]:
        """Return the shapes that the network's outputs must have, given the graph's inputs."""
        ...

    def tensors(
        self, shapes: Sequence[tuple[int, ...]], inputs: Sequence[TensorSpec]
    ) -> tuple[TensorSpec, ...]:
        """Return the graph's outputs.

        Args:
            shapes: of the network's outputs, for a batch of one.
            inputs: the graph's inputs.
        """
        ...

    def apply(self, *outputs: Array) -> Mapping[str, Array]:
        """Compute the task's outputs in numpy, by name, from the network's outputs."""
        ...

    def nodes(self, *sources: str) -> Fragment:
        """Return the same formula in ONNX.

        Args:
            sources: names of the network's output tensors.
        """
        ...


def node(
    op_type: str, inputs: Sequence[str], outputs: Sequence[str], name: str, **attributes: Any
) -> onnx.NodeProto:
    """Return a node named PREFIX + `name`; tensor names are taken as they are."""
    return helper.make_node(op_type, inputs, outputs, PREFIX + name, **attributes)


def constant(name: str, value: NDArray[Any] | np.generic) -> onnx.TensorProto:
    """Return an initializer named PREFIX + `name`."""
    return numpy_helper.from_array(np.asarray(value), PREFIX + name)

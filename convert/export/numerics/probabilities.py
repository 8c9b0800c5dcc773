"""Class probabilities."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from onnx import helper

from convert.export.numerics.fragment import PREFIX, Array, Fragment, Shape
from runtime.artifact.manifest import TensorSpec


@dataclass(frozen=True, slots=True)
class Probabilities:
    """Class probabilities: softmax, or nothing where the network ends in one."""

    softmax: bool

    def expected_shapes(self, inputs: Sequence[TensorSpec]) -> tuple[Shape, ...]:
        """One value per class."""
        del inputs
        return (("N", "K"),)

    def tensors(
        self, shapes: Sequence[tuple[int, ...]], inputs: Sequence[TensorSpec]
    ) -> tuple[TensorSpec, ...]:
        """`probabilities` (N, K)."""
        del inputs
        return (TensorSpec("probabilities", "float32", ("N", shapes[0][-1])),)

    def apply(self, *raw: Array) -> Mapping[str, Array]:
        """(N, K) logits or probabilities to (N, K) probabilities."""
        (values,) = raw
        if not self.softmax:
            return {"probabilities": values}
        exponent = np.exp(values - values.max(axis=1, keepdims=True))
        return {"probabilities": exponent / exponent.sum(axis=1, keepdims=True)}

    def nodes(self, *sources: str) -> Fragment:
        """One node."""
        p, output = PREFIX, ["probabilities"]
        if self.softmax:
            node = helper.make_node("Softmax", sources, output, p + "softmax", axis=1)
        else:
            node = helper.make_node("Identity", sources, output, p + "identity")
        return Fragment((node,))

"""Logits to class probabilities."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from convert.export.numerics.fragment import Array, Fragment, Shape, node
from runtime.artifact.manifest import TensorSpec


@dataclass(frozen=True, slots=True)
class Probabilities:
    """Class probabilities: softmax of logits, or the output of a network that ends in softmax."""

    softmax: bool  # False: the network's output is passed on

    def expected_shapes(self, inputs: Sequence[TensorSpec]) -> tuple[Shape, ...]:
        """Return (N, K): one value per class."""
        del inputs
        return (("N", "K"),)

    def tensors(
        self, shapes: Sequence[tuple[int, ...]], inputs: Sequence[TensorSpec]
    ) -> tuple[TensorSpec, ...]:
        """Return `probabilities` (N, K)."""
        del inputs
        return (TensorSpec("probabilities", "float32", ("N", shapes[0][-1])),)

    def apply(self, *outputs: Array) -> Mapping[str, Array]:
        """Compute (N, K) probabilities; subtracting the maximum keeps exp() finite."""
        (values,) = outputs
        if not self.softmax:
            return {"probabilities": values}
        exponentials = np.exp(values - values.max(axis=1, keepdims=True))
        return {"probabilities": exponentials / exponentials.sum(axis=1, keepdims=True)}

    def nodes(self, *sources: str) -> Fragment:
        """Return a Softmax, or an Identity."""
        if self.softmax:
            return Fragment((node("Softmax", sources, ["probabilities"], "softmax", axis=1),))
        return Fragment((node("Identity", sources, ["probabilities"], "identity"),))

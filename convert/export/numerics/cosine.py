"""Embedding to class probabilities, by its angle to the center of each class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from convert.export.numerics.embedding import UnitEmbedding
from convert.export.numerics.fragment import PREFIX, Array, Fragment, Shape, constant, node
from convert.export.numerics.probabilities import Probabilities
from runtime.artifact.manifest import TensorSpec


@dataclass(frozen=True, slots=True, eq=False)
class CosineProbabilities:
    """Class probabilities of networks trained with ArcFace or a related loss.

    probabilities = softmax(scale * cosine(features, center of each class)).

    The margin of those losses belongs to training alone: it is added to the true class there.
    `embedding`, the unit vector of the features, is a second output. Where the features or a
    center are zero, the cosine is 0.
    """

    centers: Array  # (K, D), of any length; not all alike
    scale: float = 64.0  # ArcFace's s

    def expected_shapes(self, inputs: Sequence[TensorSpec]) -> tuple[Shape, ...]:
        """Return (N, D): one vector per sample, as long as the centers."""
        del inputs
        return (("N", self.centers.shape[1]),)

    def tensors(
        self, shapes: Sequence[tuple[int, ...]], inputs: Sequence[TensorSpec]
    ) -> tuple[TensorSpec, ...]:
        """Return `probabilities` (N, K) and `embedding` (N, D)."""
        return (
            TensorSpec("probabilities", "float32", ("N", len(self.centers))),
            *UnitEmbedding().tensors(shapes, inputs),
        )

    def apply(self, *outputs: Array) -> Mapping[str, Array]:
        """Compute (N, K) probabilities and (N, D) unit vectors from (N, D) features."""
        unit = UnitEmbedding().apply(*outputs)
        logits = np.float32(self.scale) * (unit["embedding"] @ self._unit_centers().T)
        return {**Probabilities(softmax=True).apply(logits), **unit}

    def nodes(self, *sources: str) -> Fragment:
        """Return the formula: unit vector, MatMul with the scaled unit centers, Softmax."""
        p = PREFIX
        unit = UnitEmbedding().nodes(*sources)
        scaled_centers = np.float32(self.scale) * self._unit_centers().T
        logits = node("MatMul", ["embedding", p + "centres"], [p + "logits"], "cosines")
        softmax = Probabilities(softmax=True).nodes(p + "logits")
        return Fragment(
            (*unit.nodes, logits, *softmax.nodes),
            (*unit.initializers, constant("centres", scaled_centers), *softmax.initializers),
        )

    def _unit_centers(self) -> Array:
        """Return the centers scaled to unit length, (K, D)."""
        return UnitEmbedding().apply(self.centers)["embedding"]

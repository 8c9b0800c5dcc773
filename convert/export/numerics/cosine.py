"""Class probabilities by the angle between an embedding and each class's centre."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from onnx import helper

from convert.export.numerics.embedding import UnitEmbedding
from convert.export.numerics.fragment import PREFIX, Array, Fragment, Shape, constant
from convert.export.numerics.probabilities import Probabilities
from runtime.artifact.manifest import TensorSpec


@dataclass(frozen=True, slots=True, eq=False)
class CosineProbabilities:
    """softmax(scale * cosine(embedding, centre)): what ArcFace and its kin are trained with.

    The margin of those losses is added to the true class while training only. `embedding` is
    answered beside it, as `UnitEmbedding` gives it. An all-zero embedding or centre has cosine 0.
    """

    centres: Array  # (K, D), of any length; not all alike
    scale: float = 64.0  # ArcFace's s

    def expected_shapes(self, inputs: Sequence[TensorSpec]) -> tuple[Shape, ...]:
        """One vector per sample, as long as the centres."""
        del inputs
        return (("N", self.centres.shape[1]),)

    def tensors(
        self, shapes: Sequence[tuple[int, ...]], inputs: Sequence[TensorSpec]
    ) -> tuple[TensorSpec, ...]:
        """`probabilities` (N, K) and `embedding` (N, D)."""
        return (
            TensorSpec("probabilities", "float32", ("N", len(self.centres))),
            *UnitEmbedding().tensors(shapes, inputs),
        )

    def apply(self, *raw: Array) -> Mapping[str, Array]:
        """(N, D) features to (N, K) probabilities and (N, D) unit vectors."""
        unit = UnitEmbedding().apply(*raw)
        logits = np.float32(self.scale) * (unit["embedding"] @ self._directions().T)
        return {**Probabilities(softmax=True).apply(logits), **unit}

    def nodes(self, *sources: str) -> Fragment:
        """The unit vector, one multiplication by the scaled centres, a softmax."""
        p = PREFIX
        unit = UnitEmbedding().nodes(*sources)
        scaled = np.float32(self.scale) * self._directions().T
        product = helper.make_node(
            "MatMul", ["embedding", p + "centres"], [p + "logits"], p + "cosines"
        )
        answer = Probabilities(softmax=True).nodes(p + "logits")
        return Fragment(
            (*unit.nodes, product, *answer.nodes),
            (*unit.initializers, constant("centres", scaled), *answer.initializers),
        )

    def _directions(self) -> Array:
        return UnitEmbedding().apply(self.centres)["embedding"]

"""Features to a unit vector."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from convert.export.numerics.fragment import PREFIX, Array, Fragment, Shape, constant, node
from runtime.artifact.manifest import TensorSpec

MIN_NORM = np.float32(1e-12)  # least divisor: an all-zero vector stays zero


@dataclass(frozen=True, slots=True)
class UnitEmbedding:
    """Features scaled to L2 norm 1.

    embedding = features / max(|features|, MIN_NORM).

    Source: torch.nn.functional.normalize, with its `eps`.
    """

    def expected_shapes(self, inputs: Sequence[TensorSpec]) -> tuple[Shape, ...]:
        """Return (N, D): one vector per sample."""
        del inputs
        return (("N", "D"),)

    def tensors(
        self, shapes: Sequence[tuple[int, ...]], inputs: Sequence[TensorSpec]
    ) -> tuple[TensorSpec, ...]:
        """Return `embedding` (N, D)."""
        del inputs
        return (TensorSpec("embedding", "float32", ("N", shapes[0][-1])),)

    def apply(self, *outputs: Array) -> Mapping[str, Array]:
        """Scale (N, D) features to unit length."""
        (features,) = outputs
        norm = np.sqrt((features * features).sum(axis=1, keepdims=True))
        return {"embedding": features / np.maximum(norm, MIN_NORM)}

    def nodes(self, *sources: str) -> Fragment:
        """Return the formula: ReduceL2, Max, Div."""
        (source,) = sources
        p = PREFIX
        return Fragment(
            (
                node("ReduceL2", [source], [p + "norm"], "l2", axes=[1], keepdims=1),
                node("Max", [p + "norm", p + "tiny"], [p + "guarded"], "guard"),
                node("Div", [source, p + "guarded"], ["embedding"], "unit"),
            ),
            (constant("tiny", MIN_NORM),),
        )

"""Unit vectors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from onnx import helper

from convert.export.numerics.fragment import PREFIX, Array, Fragment, Shape, constant
from runtime.artifact.manifest import TensorSpec


@dataclass(frozen=True, slots=True)
class UnitEmbedding:
    """Features scaled to L2 norm 1; an all-zero vector stays zero."""

    def expected_shapes(self, inputs: Sequence[TensorSpec]) -> tuple[Shape, ...]:
        """One vector per sample."""
        del inputs
        return (("N", "D"),)

    def tensors(
        self, shapes: Sequence[tuple[int, ...]], inputs: Sequence[TensorSpec]
    ) -> tuple[TensorSpec, ...]:
        """`embedding` (N, D)."""
        del inputs
        return (TensorSpec("embedding", "float32", ("N", shapes[0][-1])),)

    def apply(self, *raw: Array) -> Mapping[str, Array]:
        """(N, D) features to (N, D) unit vectors."""
        (features,) = raw
        norm = np.sqrt((features * features).sum(axis=1, keepdims=True))
        return {"embedding": features / np.maximum(norm, np.float32(1e-12))}

    def nodes(self, *sources: str) -> Fragment:
        """ReduceL2, guarded, and a division."""
        (source,) = sources
        p = PREFIX
        return Fragment(
            (
                helper.make_node(
                    "ReduceL2", [source], [p + "norm"], p + "l2", axes=[1], keepdims=1
                ),
                helper.make_node("Max", [p + "norm", p + "tiny"], [p + "guarded"], p + "guard"),
                helper.make_node("Div", [source, p + "guarded"], ["embedding"], p + "unit"),
            ),
            (constant("tiny", np.float32(1e-12)),),
        )

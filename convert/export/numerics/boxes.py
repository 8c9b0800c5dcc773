"""Boxes and scores that the network has decoded itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onnx import helper

from convert.export.numerics.fragment import PREFIX, Array, Fragment, Shape
from runtime.artifact.manifest import TensorSpec

NAMES = ("boxes_xyxy", "scores")


@dataclass(frozen=True, slots=True)
class Boxes:
    """Passes on what the network gives: boxes in graph-input px, and a score per class."""

    def expected_shapes(self, inputs: Sequence[TensorSpec]) -> tuple[Shape, ...]:
        """A box and K scores for each of A anchors."""
        del inputs
        return ("N", "A", 4), ("N", "A", "K")

    def tensors(
        self, shapes: Sequence[tuple[int, ...]], inputs: Sequence[TensorSpec]
    ) -> tuple[TensorSpec, ...]:
        """`boxes_xyxy` (N, A, 4) and `scores` (N, A, K)."""
        del inputs
        return tuple(
            TensorSpec(name, "float32", ("N", *shape[1:]))
            for name, shape in zip(NAMES, shapes, strict=True)
        )

    def apply(self, *raw: Array) -> Mapping[str, Array]:
        """(N, A, 4) boxes and (N, A, K) scores, by name."""
        return dict(zip(NAMES, raw, strict=True))

    def nodes(self, *sources: str) -> Fragment:
        """One node each."""
        return Fragment(
            tuple(
                helper.make_node("Identity", [source], [name], PREFIX + name)
                for source, name in zip(sources, NAMES, strict=True)
            )
        )

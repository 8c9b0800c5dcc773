"""Boxes and scores of a detector that decodes them itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from convert.export.numerics.fragment import Array, Fragment, Shape, node
from runtime.artifact.manifest import TensorSpec

NAMES = ("boxes_xyxy", "scores")


@dataclass(frozen=True, slots=True)
class Boxes:
    """The network's boxes, in px of the graph's input, and its class scores, unchanged."""

    def expected_shapes(self, inputs: Sequence[TensorSpec]) -> tuple[Shape, ...]:
        """Return (N, A, 4) and (N, A, K): a box and K scores for each of A anchors."""
        del inputs
        return ("N", "A", 4), ("N", "A", "K")

    def tensors(
        self, shapes: Sequence[tuple[int, ...]], inputs: Sequence[TensorSpec]
    ) -> tuple[TensorSpec, ...]:
        """Return `boxes_xyxy` (N, A, 4) and `scores` (N, A, K)."""
        del inputs
        return tuple(
            TensorSpec(name, "float32", ("N", *shape[1:]))
            for name, shape in zip(NAMES, shapes, strict=True)
        )

    def apply(self, *outputs: Array) -> Mapping[str, Array]:
        """Name the (N, A, 4) boxes and the (N, A, K) scores."""
        return dict(zip(NAMES, outputs, strict=True))

    def nodes(self, *sources: str) -> Fragment:
        """Return an Identity for each output."""
        return Fragment(
            tuple(
                node("Identity", [source], [name], name)
                for source, name in zip(sources, NAMES, strict=True)
            )
        )

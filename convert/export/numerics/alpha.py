"""A saliency map to a matte."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from onnx import helper

from convert.export.numerics.fragment import PREFIX, Array, Fragment, Shape, constant
from runtime.artifact.manifest import TensorSpec


@dataclass(frozen=True, slots=True)
class StretchedAlpha:
    """A saliency map stretched to [0, 1] by its own minimum and maximum, as U-2-Net's demo does.

    A constant map has nothing to stretch: it becomes 0 everywhere, and `alpha_range` shows it.
    """

    def expected_shapes(self, inputs: Sequence[TensorSpec]) -> tuple[Shape, ...]:
        """One map of the image's size."""
        _, height, width, _ = inputs[0].shape
        return (("N", 1, height, width),)

    def tensors(
        self, shapes: Sequence[tuple[int, ...]], inputs: Sequence[TensorSpec]
    ) -> tuple[TensorSpec, ...]:
        """`alpha` (N, H, W) and `alpha_range` (N, 2), the raw minimum and maximum."""
        del inputs
        return (
            TensorSpec("alpha", "float32", ("N", *shapes[0][2:])),
            TensorSpec("alpha_range", "float32", ("N", 2)),
        )

    def apply(self, *raw: Array) -> Mapping[str, Array]:
        """(N, 1, H, W) map to (N, H, W) alpha and its (N, 2) range."""
        mask = raw[0][:, 0]
        low, high = mask.min(axis=(1, 2)), mask.max(axis=(1, 2))
        spread = np.maximum(high - low, np.float32(1e-6))[:, None, None]
        return {
            "alpha": (mask - low[:, None, None]) / spread,
            "alpha_range": np.stack([low, high], axis=1),
        }

    def nodes(self, *sources: str) -> Fragment:
        """Squeeze, minimum, maximum, a guarded division."""
        (source,) = sources
        p = PREFIX
        node = helper.make_node
        return Fragment(
            (
                node("Squeeze", [source, p + "axis"], [p + "mask"], p + "squeeze"),
                node("ReduceMin", [p + "mask"], [p + "low"], p + "low", axes=[1, 2], keepdims=1),
                node("ReduceMax", [p + "mask"], [p + "high"], p + "high", axes=[1, 2], keepdims=1),
                node("Sub", [p + "high", p + "low"], [p + "spread"], p + "spread"),
                node("Max", [p + "spread", p + "tiny"], [p + "guarded"], p + "guard"),
                node("Sub", [p + "mask", p + "low"], [p + "lifted"], p + "lift"),
                node("Div", [p + "lifted", p + "guarded"], ["alpha"], p + "stretch"),
                node("Concat", [p + "low", p + "high"], [p + "pair"], p + "pair", axis=1),
                node("Squeeze", [p + "pair", p + "last"], ["alpha_range"], p + "range"),
            ),
            (
                constant("axis", np.array([1], np.int64)),
                constant("last", np.array([2], np.int64)),
                constant("tiny", np.float32(1e-6)),
            ),
        )

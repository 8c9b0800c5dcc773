"""Saliency map to alpha matte: min-max stretching."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from convert.export.numerics.fragment import PREFIX, Array, Fragment, Shape, constant, node
from runtime.artifact.manifest import TensorSpec

MIN_SPREAD = np.float32(1e-6)  # least divisor: a constant map becomes 0 everywhere, not NaN


@dataclass(frozen=True, slots=True)
class StretchedAlpha:
    """Saliency map stretched to [0, 1] by its own minimum and maximum.

    alpha = (map - min) / max(max - min, MIN_SPREAD), for each image.

    The second output, `alpha_range`, holds minimum and maximum before stretching. It shows a map
    that was nearly constant, whose alpha is 0 everywhere or stretched noise.

    Source: U-2-Net's demo, `normPRED` of u2net_test.py, which divides by zero there.
    """

    def expected_shapes(self, inputs: Sequence[TensorSpec]) -> tuple[Shape, ...]:
        """Return (N, 1, H, W): one map of the image's size."""
        _, height, width, _ = inputs[0].shape
        return (("N", 1, height, width),)

    def tensors(
        self, shapes: Sequence[tuple[int, ...]], inputs: Sequence[TensorSpec]
    ) -> tuple[TensorSpec, ...]:
        """Return `alpha` (N, H, W) and `alpha_range` (N, 2)."""
        del inputs
        return (
            TensorSpec("alpha", "float32", ("N", *shapes[0][2:])),
            TensorSpec("alpha_range", "float32", ("N", 2)),
        )

    def apply(self, *outputs: Array) -> Mapping[str, Array]:
        """Stretch a (N, 1, H, W) map to (N, H, W) alpha, and return its (N, 2) range."""
        mask = outputs[0][:, 0]
        low, high = mask.min(axis=(1, 2)), mask.max(axis=(1, 2))
        spread = np.maximum(high - low, MIN_SPREAD)[:, None, None]
        return {
            "alpha": (mask - low[:, None, None]) / spread,
            "alpha_range": np.stack([low, high], axis=1),
        }

    def nodes(self, *sources: str) -> Fragment:
        """Return the formula; minimum and maximum keep their axes, so that they broadcast."""
        p = PREFIX
        return Fragment(
            (
                node("Squeeze", [sources[0], p + "axis"], [p + "mask"], "squeeze"),
                node("ReduceMin", [p + "mask"], [p + "low"], "low", axes=[1, 2], keepdims=1),
                node("ReduceMax", [p + "mask"], [p + "high"], "high", axes=[1, 2], keepdims=1),
                node("Sub", [p + "high", p + "low"], [p + "spread"], "spread"),
                node("Max", [p + "spread", p + "tiny"], [p + "guarded"], "guard"),
                node("Sub", [p + "mask", p + "low"], [p + "lifted"], "lift"),
                node("Div", [p + "lifted", p + "guarded"], ["alpha"], "stretch"),
                node("Concat", [p + "low", p + "high"], [p + "pair"], "pair", axis=1),
                node("Squeeze", [p + "pair", p + "last"], ["alpha_range"], "range"),
            ),
            (
                constant("axis", np.array([1], np.int64)),
                constant("last", np.array([2], np.int64)),
                constant("tiny", MIN_SPREAD),
            ),
        )

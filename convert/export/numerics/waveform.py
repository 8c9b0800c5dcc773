"""A decoded sound to a network's input."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from convert.export.numerics.fragment import PREFIX, Array, Fragment, constant
from runtime.artifact.manifest import TensorSpec

EPSILON = 1e-7  # added to the variance: digital silence stays zero


@dataclass(frozen=True, slots=True)
class WaveformInput:
    """From a waveform of any length to what the network takes.

    Source: transformers `Wav2Vec2FeatureExtractor.zero_mean_unit_var_norm`.
    """

    standardize: bool  # each sound to mean 0 and variance 1

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """`waveform` (N, S), in [-1, 1]."""
        return (TensorSpec("waveform", "float32", ("N", "S")),)

    def apply(self, *given: NDArray[Any]) -> tuple[Array, ...]:
        """(N, S) float32 to the same shape; rows of a batch are of one length, none is padded."""
        (waveform,) = given
        if not self.standardize:
            return (waveform,)
        mean = waveform.mean(axis=1, keepdims=True)
        variance = waveform.var(axis=1, keepdims=True)
        return ((waveform - mean) / np.sqrt(variance + np.float32(EPSILON)),)

    def nodes(self, *outputs: str) -> Fragment:
        """Mean and variance over each row."""
        if not self.standardize:
            return Fragment((helper.make_node("Identity", ["waveform"], outputs, PREFIX + "same"),))
        p, node = PREFIX, helper.make_node
        return Fragment(
            (
                node("ReduceMean", ["waveform"], [p + "mean"], p + "mean", axes=[1], keepdims=1),
                node("Sub", ["waveform", p + "mean"], [p + "centred"], p + "centre"),
                node("Mul", [p + "centred", p + "centred"], [p + "squared"], p + "square"),
                node(
                    "ReduceMean",
                    [p + "squared"],
                    [p + "variance"],
                    p + "variance",
                    axes=[1],
                    keepdims=1,
                ),
                node("Add", [p + "variance", p + "epsilon"], [p + "guarded"], p + "guard"),
                node("Sqrt", [p + "guarded"], [p + "deviation"], p + "deviation"),
                node("Div", [p + "centred", p + "deviation"], outputs, p + "standardize"),
            ),
            (constant("epsilon", np.float32(EPSILON)),),
        )

"""Waveform to a speech network's input."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.export.numerics.fragment import PREFIX, Array, Fragment, constant, node
from runtime.artifact.manifest import TensorSpec

EPSILON = np.float32(1e-7)  # added to the variance: digital silence stays zero


@dataclass(frozen=True, slots=True)
class WaveformInput:
    """Waveform of any length, standardized if the network was trained so.

    (waveform - mean) / sqrt(variance + EPSILON), for each recording.

    Source: transformers `Wav2Vec2FeatureExtractor.zero_mean_unit_var_norm`.
    """

    standardize: bool  # False: the waveform is passed on

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """Return `waveform` (N, S), float32 in [-1, 1]."""
        return (TensorSpec("waveform", "float32", ("N", "S")),)

    def apply(self, *inputs: NDArray[Any]) -> tuple[Array, ...]:
        """Standardize (N, S) float32; the rows of a batch have one length, without padding."""
        (waveform,) = inputs
        if not self.standardize:
            return (waveform,)
        mean = waveform.mean(axis=1, keepdims=True)
        variance = waveform.var(axis=1, keepdims=True)
        return ((waveform - mean) / np.sqrt(variance + EPSILON),)

    def nodes(self, *targets: str) -> Fragment:
        """Return the formula; the variance is the mean of squares after centering."""
        if not self.standardize:
            return Fragment((node("Identity", ["waveform"], targets, "same"),))
        p, over_samples = PREFIX, {"axes": [1], "keepdims": 1}
        return Fragment(
            (
                node("ReduceMean", ["waveform"], [p + "mean"], "mean", **over_samples),
                node("Sub", ["waveform", p + "mean"], [p + "centred"], "centre"),
                node("Mul", [p + "centred", p + "centred"], [p + "squared"], "square"),
                node("ReduceMean", [p + "squared"], [p + "variance"], "variance", **over_samples),
                node("Add", [p + "variance", p + "epsilon"], [p + "guarded"], "guard"),
                node("Sqrt", [p + "guarded"], [p + "deviation"], "deviation"),
                node("Div", [p + "centred", p + "deviation"], targets, "standardize"),
            ),
            (constant("epsilon", EPSILON),),
        )

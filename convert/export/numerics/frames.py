"""Decoded frames of a clip to a network's input."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from convert.export.numerics.fragment import PREFIX, Fragment, constant
from runtime.artifact.manifest import TensorSpec


@dataclass(frozen=True, slots=True)
class FramesInput:
    """From uint8 frames to (frames / divisor - mean) / std per channel; the condition as it is."""

    frames: int
    height: int  # px
    width: int  # px
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)  # per channel, after the division
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    divisor: Literal["255", "1"] = "1"  # "1": the network takes levels of 0 to 255
    layout: Literal["TCHW", "CTHW"] = "TCHW"  # of one clip, as the network takes it
    condition: int | None = 384  # values of the clinical embedding; None: the network takes none

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """`frames` (N, T, H, W, 3) and, where the network takes one, `condition` (N, D)."""
        shape = ("N", self.frames, self.height, self.width, 3)
        frames = TensorSpec("frames", "uint8", shape)
        if self.condition is None:
            return (frames,)
        return frames, TensorSpec("condition", "float32", ("N", self.condition))

    def apply(self, *given: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """(N, T, H, W, 3) uint8 RGB to float32 in the network's layout; the others unchanged."""
        frames, *others = given
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        normalised = (frames.astype(np.float32) / np.float32(self.divisor) - mean) / std
        planes = normalised.transpose(self._order())
        return (np.ascontiguousarray(planes, np.float32), *others)

    def nodes(self, *outputs: str) -> Fragment:
        """Planes first, while a value is one byte; normalisation only where there is any."""
        p, node = PREFIX, helper.make_node
        planes, *others = outputs
        scale = 1.0 / (float(self.divisor) * np.array(self.std, np.float64))
        shift = -np.array(self.mean, np.float64) / np.array(self.std, np.float64)
        is_plain = bool((scale == 1).all() and (shift == 0).all())
        float_name = planes if is_plain else p + "float"
        nodes = [
            node("Transpose", ["frames"], [p + "planes"], p + "transpose", perm=self._order()),
            node("Cast", [p + "planes"], [float_name], p + "cast", to=TensorProto.FLOAT),
        ]
        initializers = []
        if not is_plain:
            channels = (1, 3, 1, 1) if self.layout == "TCHW" else (3, 1, 1, 1)
            initializers = [
                constant(name, value.astype(np.float32).reshape(channels))
                for name, value in (("scale", scale), ("shift", shift))
            ]
            nodes += [
                node("Mul", [float_name, p + "scale"], [p + "scaled"], p + "scale"),
                node("Add", [p + "scaled", p + "shift"], [planes], p + "shift"),
            ]
        nodes += [node("Identity", ["condition"], [name], p + "condition") for name in others]
        return Fragment(tuple(nodes), tuple(initializers))

    def _order(self) -> tuple[int, ...]:
        return (0, 1, 4, 2, 3) if self.layout == "TCHW" else (0, 4, 1, 2, 3)

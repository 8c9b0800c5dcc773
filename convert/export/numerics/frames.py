"""Frames of a clip, with an optional condition, to a video network's input."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from convert.export.numerics.fragment import PREFIX, Fragment, constant, node
from runtime.artifact.manifest import TensorSpec


@dataclass(frozen=True, slots=True)
class FramesInput:
    """Frames normalized per channel; the embedding of a clinical condition is passed on.

    (frames / divisor - mean) / std.
    """

    frames: int  # T
    height: int  # px
    width: int  # px
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)  # per channel, after the division
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    divisor: Literal["255", "1"] = "1"  # "1": the network takes levels of 0 to 255
    layout: Literal["TCHW", "CTHW"] = "TCHW"  # axes of one clip, as the network takes it
    condition: int | None = 384  # D of the embedding; None: the network takes none

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """Return `frames` uint8 (N, T, H, W, 3) and, unless None, `condition` float32 (N, D)."""
        shape = ("N", self.frames, self.height, self.width, 3)
        frames = TensorSpec("frames", "uint8", shape)
        if self.condition is None:
            return (frames,)
        return frames, TensorSpec("condition", "float32", ("N", self.condition))

    def apply(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Normalize (N, T, H, W, 3) uint8 RGB to float32 in the network's layout."""
        frames, *condition = inputs
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        normalized = (frames.astype(np.float32) / np.float32(self.divisor) - mean) / std
        planes = normalized.transpose(self._permutation())
        return (np.ascontiguousarray(planes, np.float32), *condition)

    def nodes(self, *targets: str) -> Fragment:
        """Return the formula as scale and shift; an identity is left out.

        Transpose comes first, while a value is one byte.
        """
        p = PREFIX
        planes, *condition = targets
        scale = 1.0 / (float(self.divisor) * np.array(self.std, np.float64))
        shift = -np.array(self.mean, np.float64) / np.array(self.std, np.float64)
        is_identity = bool((scale == 1).all() and (shift == 0).all())
        floats = planes if is_identity else p + "float"
        nodes = [
            node("Transpose", ["frames"], [p + "planes"], "transpose", perm=self._permutation()),
            node("Cast", [p + "planes"], [floats], "cast", to=TensorProto.FLOAT),
        ]
        initializers = []
        if not is_identity:
            per_channel = (1, 3, 1, 1) if self.layout == "TCHW" else (3, 1, 1, 1)
            initializers = [
                constant(name, value.astype(np.float32).reshape(per_channel))
                for name, value in (("scale", scale), ("shift", shift))
            ]
            nodes += [
                node("Mul", [floats, p + "scale"], [p + "scaled"], "scale"),
                node("Add", [p + "scaled", p + "shift"], [planes], "shift"),
            ]
        nodes += [node("Identity", ["condition"], [name], "condition") for name in condition]
        return Fragment(tuple(nodes), tuple(initializers))

    def _permutation(self) -> tuple[int, ...]:
        """Return the axes of (N, T, H, W, C) in the order of the network's layout."""
        return (0, 1, 4, 2, 3) if self.layout == "TCHW" else (0, 4, 1, 2, 3)

"""Token ids and their mask to an encoder's input."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from convert.export.numerics.fragment import PREFIX, Fragment
from runtime.artifact.manifest import TensorSpec


@dataclass(frozen=True, slots=True)
class Tokens:
    """Token ids as they are, and the mask as a factor."""

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """`input_ids` and `attention_mask` (N, L); the mask is 1 for tokens and 0 for padding."""
        return tuple(
            TensorSpec(name, "int64", ("N", "L")) for name in ("input_ids", "attention_mask")
        )

    def apply(self, *given: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """(N, L) int64 ids and mask to the same ids and a float32 mask."""
        ids, mask = given
        return ids, mask.astype(np.float32)

    def nodes(self, *outputs: str) -> Fragment:
        """One node each."""
        ids, mask = outputs
        p = PREFIX
        return Fragment(
            (
                helper.make_node("Identity", ["input_ids"], [ids], p + "ids"),
                helper.make_node(
                    "Cast", ["attention_mask"], [mask], p + "mask", to=onnx.TensorProto.FLOAT
                ),
            )
        )

"""Token ids and attention mask to a text encoder's input."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from convert.export.numerics.fragment import Fragment, node
from runtime.artifact.manifest import TensorSpec


@dataclass(frozen=True, slots=True)
class Tokens:
    """Token ids, unchanged, and the attention mask as float32, which encoders multiply by."""

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """Return `input_ids` and `attention_mask`, int64 (N, L); 1 is a token, 0 padding."""
        return tuple(
            TensorSpec(name, "int64", ("N", "L")) for name in ("input_ids", "attention_mask")
        )

    def apply(self, *inputs: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Return the (N, L) int64 ids and the mask as float32."""
        ids, mask = inputs
        return ids, mask.astype(np.float32)

    def nodes(self, *targets: str) -> Fragment:
        """Return an Identity for the ids and a Cast for the mask."""
        ids, mask = targets
        return Fragment(
            (
                node("Identity", ["input_ids"], [ids], "ids"),
                node("Cast", ["attention_mask"], [mask], "mask", to=onnx.TensorProto.FLOAT),
            )
        )

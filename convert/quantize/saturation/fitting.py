"""Ranges of weights at which no pair of products saturates: 7 bits where it must be, else more.

Halving all weights (onnxruntime's reduce_range) is more than it takes: two neighbours rarely are
both the largest of their channel, and depthwise convolutions do not saturate. It leaves real
MobileFaceNet a centred cosine of 0.9865, ranges as wide as the pairs need 0.9926, as 8 bits do.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from convert.export.graph.surgery import initializers
from convert.quantize.saturation.layers import QUANTIZED_PRODUCTS, attributes_of, grouped_weights
from convert.quantize.saturation.products import of_pairs

LARGEST = 127
# of two neighbours of one sign: 255 * 128 fits into 16 bits, and rounding may add a half to each
LARGEST_PAIR = 127

Overrides = dict[str, list[dict[str, Any]]]


def fitting_ranges(model: onnx.ModelProto) -> Overrides:
    """The range of each channel of all weights whose pairs may saturate, for QDQQuantizer.

    Args:
        model: float graph; depthwise convolutions keep their ranges.

    Returns:
        `TensorQuantOverrides` by name of the weights.
    """
    weights = initializers(model)
    found: Overrides = {}
    for node in model.graph.node:
        array = weights.get(node.input[1]) if node.op_type in QUANTIZED_PRODUCTS else None
        if array is None or array.dtype != np.float32:
            continue
        attributes = attributes_of(node)
        grouped = grouped_weights(node.op_type, array, attributes)
        if grouped is not None and (node.op_type == "Conv" or array.ndim == 2):
            found[node.input[1]] = _by_channel(grouped, _axis(node.op_type, attributes))
    return found


def _axis(op_type: str, attributes: Mapping[str, Any]) -> int:
    return 0 if op_type == "Conv" or attributes.get("transB", 0) else 1


def _by_channel(grouped: NDArray[np.float32], axis: int) -> list[dict[str, Any]]:
    limits = np.concatenate([_limits(group) for group in grouped])
    return [{"axis": axis, "symmetric": True, "rmin": -limit, "rmax": limit} for limit in limits]


def _limits(group: NDArray[np.float32]) -> NDArray[np.float32]:
    """(K, N) to (N,): the value that becomes LARGEST."""
    pairs = of_pairs(group)
    sums = np.maximum(np.maximum(pairs, 0).sum(axis=1), -np.minimum(pairs, 0).sum(axis=1))
    widest = sums.max(axis=0) * np.float32(LARGEST / LARGEST_PAIR)
    return np.maximum(np.abs(group).max(axis=0), widest).astype(np.float32)

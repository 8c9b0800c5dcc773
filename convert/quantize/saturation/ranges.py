"""Ranges of weights with which no pair of products saturates: 7 bits where needed, else more.

onnxruntime's reduce_range halves all weights. That is more than needed: two neighbours are rarely
both the largest of their channel, and depthwise convolutions do not saturate. On MobileFaceNet's
real weights reduce_range leaves a centred cosine of 0.9865; ranges as wide as the pairs allow leave
0.9926, as full 8 bits do.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from convert.export.graph.surgery import initializers
from convert.quantize.layers import INT8_MAX, output_axis
from convert.quantize.saturation.layers import QDQ_PRODUCTS, in_product_order, pair_rows

# two neighbours of one sign may add up to this: 255 * 128 fits into 16 bits, and rounding may add
# a half to each
LARGEST_PAIR = 127

Overrides = dict[str, list[dict[str, Any]]]


def no_saturation_ranges(
    model: onnx.ModelProto, learned: Mapping[str, NDArray[np.float32]]
) -> Overrides:
    """Return the range of each output channel with which its pairs of products never saturate.

    Args:
        model: float graph. Depthwise convolutions are left out: they keep their full ranges.
        learned: weights that will be rounded in place of the graph's, by name of the node.

    Returns:
        The `TensorQuantOverrides` option of onnxruntime's QDQQuantizer, by name of the weights.
    """
    weights = initializers(model)
    overrides: Overrides = {}
    for node in model.graph.node:
        array = weights.get(node.input[1]) if node.op_type in QDQ_PRODUCTS else None
        if array is None or array.dtype != np.float32:
            continue
        array = learned.get(node.name, array)
        groups = in_product_order(node, array)
        if groups is not None and (node.op_type == "Conv" or array.ndim == 2):
            limits = np.concatenate([_channel_limits(group) for group in groups])
            axis = output_axis(node, array.ndim)
            overrides[node.input[1]] = [_symmetric_range(axis, limit) for limit in limits]
    return overrides


def _symmetric_range(axis: int, limit: np.float32) -> dict[str, Any]:
    return {"axis": axis, "symmetric": True, "rmin": -limit, "rmax": limit}


def _channel_limits(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (N,) values that become 127 when the channels of (K, N) weights are rounded."""
    pairs = pair_rows(weights)
    sums = np.maximum(np.maximum(pairs, 0).sum(axis=1), -np.minimum(pairs, 0).sum(axis=1))
    widest = sums.max(axis=0) * np.float32(INT8_MAX / LARGEST_PAIR)
    return np.maximum(np.abs(weights).max(axis=0), widest).astype(np.float32)

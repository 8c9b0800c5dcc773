"""Cross-layer equalization: bring the channels between two layers to similar sizes.

Dividing what one layer writes to channel c by s, and multiplying the weights with which the next
layer reads it by s, leaves the function unchanged where only max(0, x) or the like is between them.
An activation has one range for all of its channels: one channel a hundred times larger than the
others leaves these two bits.

Source: Nagel et al., https://arxiv.org/abs/1906.04721, section 4.1, with measured activations.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from convert.export.graph.surgery import initializers, readers
from convert.export.numerics import PREFIX
from convert.quantize.layers import attributes, is_depthwise, output_axis, set_values
from convert.quantize.passes.pad_channels import UNPAD_SUFFIX

Array = NDArray[Any]
LAYERS = ("Conv", "Gemm")
HOMOGENEOUS = ("Relu", "LeakyRelu", "PRelu")  # f(s x) = s f(x) for s > 0, channel by channel
LARGEST_SCALE = 1e6  # and 1 / LARGEST_SCALE the smallest: weights stay finite


@dataclass(frozen=True, slots=True)
class LayerPair:
    """Two layers whose weights can share a scale per channel."""

    first: onnx.NodeProto
    second: onnx.NodeProto


def layer_pairs(model: onnx.ModelProto) -> list[LayerPair]:
    """Return the pairs of layers in which only the second layer reads the first.

    At most one activation is between them, and a Slice that removes padded channels.

    Args:
        model: weights are initializers; layers that share theirs are in no pair.
    """
    read_by = readers(model)
    constants = initializers(model)

    def has_own_weights(node: onnx.NodeProto) -> bool:
        own = all(name in constants and len(read_by[name]) == 1 for name in node.input[1:])
        return node.op_type in LAYERS and not node.name.startswith(PREFIX) and own

    pairs = []
    for node in filter(has_own_weights, model.graph.node):
        follower = _single(read_by.get(node.output[0], []))
        for op_types in (HOMOGENEOUS, ("Slice",)):
            if follower is not None and follower.op_type in op_types and _keeps_channels(follower):
                follower = _single(read_by.get(follower.output[0], []))
        if follower is None or not has_own_weights(follower):
            continue
        if _shares_channels(node, follower, constants):
            pairs.append(LayerPair(node, follower))
    return pairs


def equalize_layers(model: onnx.ModelProto, abs_max: Mapping[str, Array]) -> onnx.ModelProto:
    """Return the same function with the channels between each pair of layers at similar sizes.

    Args:
        model: float graph.
        abs_max: (C,) largest absolute value of each channel that a layer reads, by tensor name.
    """
    equalized = deepcopy(model)
    tensors = {tensor.name: tensor for tensor in equalized.graph.initializer}
    for pair in layer_pairs(model):
        first, second = (
            [numpy_helper.to_array(tensors[name]) for name in node.input[1:]]
            for node in (pair.first, pair.second)
        )
        scale = _channel_scales(abs_max[pair.second.input[0]], pair.second, second[0])
        for name, array in zip(pair.first.input[1:], first, strict=True):
            axis = 0 if array.ndim == 1 else output_axis(pair.first, array.ndim)
            padded = np.append(scale, np.ones(array.shape[axis] - len(scale)))
            set_values(tensors[name], array / _along(padded, array.ndim, axis))
        axis = _input_axis(pair.second, second[0])
        set_values(tensors[pair.second.input[1]], second[0] * _along(scale, second[0].ndim, axis))
    return equalized


def _single(nodes: list[onnx.NodeProto]) -> onnx.NodeProto | None:
    return nodes[0] if len(nodes) == 1 else None


def _keeps_channels(node: onnx.NodeProto) -> bool:
    return node.op_type != "Slice" or node.name.endswith(UNPAD_SUFFIX)


def _shares_channels(
    first: onnx.NodeProto, second: onnx.NodeProto, constants: Mapping[str, Array]
) -> bool:
    """Return True where each channel that the first writes has weights of its own in the second."""
    options = attributes(second)
    is_grouped = options.get("group", 1) > 1
    reads_all = not is_grouped or is_depthwise(second, constants[second.input[1]])
    return first.op_type == second.op_type and reads_all and not options.get("transA", 0)


def _input_axis(node: onnx.NodeProto, weights: Array) -> int:
    """Return the axis of the weights of a Conv or Gemm that runs over its input channels."""
    return 0 if is_depthwise(node, weights) else 1 - output_axis(node, 2)


def _channel_scales(abs_max: Array, second: onnx.NodeProto, weights: Array) -> Array:
    """Return (C,) the factor by which each channel becomes smaller.

    It is the geometric mean of the sizes on both sides: of the activation, and of the largest
    weight that reads it. Weights of a depthwise layer have a scale for each channel, so there the
    size of the activation alone decides. A channel without values or weights keeps its size.
    """
    if is_depthwise(second, weights):
        scales = abs_max / max(float(abs_max.max()), float(np.finfo(np.float32).tiny))
    else:
        by_channel = np.moveaxis(np.abs(weights), _input_axis(second, weights), 0)
        largest = by_channel.reshape(len(by_channel), -1).max(axis=1)
        scales = np.sqrt(abs_max / np.where(largest > 0, largest, np.inf))
    return np.where(scales > 0, np.clip(scales, 1 / LARGEST_SCALE, LARGEST_SCALE), 1.0)


def _along(scales: Array, rank: int, axis: int) -> Array:
    """Reshape (C,) scales to broadcast along one axis of an array."""
    return scales.reshape([-1 if other == axis else 1 for other in range(rank)])

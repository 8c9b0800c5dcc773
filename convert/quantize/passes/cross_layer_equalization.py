"""Channels between two layers brought to like sizes: the function stays, one range fits them all.

What one layer answers in channel c, s times smaller, and what the next one multiplies it by, s
times larger, is the same function where only max(0, x) or the like lies between. An activation has
one range for all channels, so one that is a hundred times larger than the others leaves them two
bits.

Source: Nagel et al., https://arxiv.org/abs/1906.04721, section 4.1, with measured activations.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from convert.export.graph.surgery import initializers, readers
from convert.export.numerics import PREFIX
from convert.quantize.layers import attributes, is_depthwise, output_axis
from convert.quantize.passes.pad_channels import KEPT

Array = NDArray[Any]
LAYERS = ("Conv", "Gemm")
HOMOGENEOUS = ("Relu", "LeakyRelu", "PRelu")  # f(s x) = s f(x) for s > 0, channel by channel
LARGEST = 1e6  # factor: weights stay numbers


@dataclass(frozen=True, slots=True)
class Pair:
    """Two layers whose weights can share a factor per channel."""

    first: onnx.NodeProto
    second: onnx.NodeProto


def pairs(model: onnx.ModelProto) -> list[Pair]:
    """Layers that read nothing but another layer's answer, at most one activation between.

    Args:
        model: weights are initializers; those that several layers share take no part.
    """
    read_by = readers(model)
    constants = initializers(model)

    def is_layer(node: onnx.NodeProto) -> bool:
        own = all(name in constants and len(read_by[name]) == 1 for name in node.input[1:])
        return node.op_type in LAYERS and not node.name.startswith(PREFIX) and own

    found = []
    for node in filter(is_layer, model.graph.node):
        follower = _only(read_by.get(node.output[0], []))
        for passed in (HOMOGENEOUS, ("Slice",)):
            if follower is not None and follower.op_type in passed and _keeps_channels(follower):
                follower = _only(read_by.get(follower.output[0], []))
        if follower is not None and is_layer(follower) and _by_channel(node, follower, constants):
            found.append(Pair(node, follower))
    return found


def equalised(model: onnx.ModelProto, peaks: Mapping[str, Array]) -> onnx.ModelProto:
    """The same function with the channels of each pair at like sizes.

    Args:
        model: float graph.
        peaks: (C,) largest absolute value of each channel that a layer reads, by tensor.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    tensors = {tensor.name: tensor for tensor in changed.graph.initializer}
    for pair in pairs(model):
        first, second = (
            [numpy_helper.to_array(tensors[name]) for name in node.input[1:]]
            for node in (pair.first, pair.second)
        )
        scale = _scale(peaks[pair.second.input[0]], _reach(pair.second, second[0]))
        for name, array in zip(pair.first.input[1:], first, strict=True):
            axis = 0 if array.ndim == 1 else output_axis(pair.first, array.ndim)
            added = np.ones(array.shape[axis] - len(scale))  # channels of zeros
            _put(tensors[name], array / _along(np.append(scale, added), array.ndim, axis))
        axis = 0 if is_depthwise(pair.second, second[0]) else 1 - output_axis(pair.second, 2)
        _put(tensors[pair.second.input[1]], second[0] * _along(scale, second[0].ndim, axis))
    return changed


def _keeps_channels(node: onnx.NodeProto) -> bool:
    return node.op_type != "Slice" or node.name.endswith(KEPT)


def _only(nodes: list[onnx.NodeProto]) -> onnx.NodeProto | None:
    return nodes[0] if len(nodes) == 1 else None


def _by_channel(
    first: onnx.NodeProto, second: onnx.NodeProto, constants: Mapping[str, Array]
) -> bool:
    """True where the second reads on axis 1 what the first writes there, each channel its own."""
    weight = constants[second.input[1]]
    grouped = attributes(second).get("group", 1) > 1 and not is_depthwise(second, weight)
    same_kind = first.op_type == second.op_type
    return same_kind and not grouped and not attributes(second).get("transA", 0)


def _reach(node: onnx.NodeProto, weight: Array) -> Array:
    """(C,) largest weight that multiplies each input channel; where each has a scale, all alike."""
    if is_depthwise(node, weight):
        return np.ones(0)
    sizes = np.moveaxis(np.abs(weight), 1 - output_axis(node, 2), 0)
    reach: Array = sizes.reshape(len(sizes), -1).max(axis=1)
    return reach


def _scale(peaks: Array, reach: Array) -> Array:
    """(C,): with both sides' sizes known their geometric mean; a silent channel keeps its own."""
    if not reach.size:
        scale = peaks / max(float(peaks.max()), float(np.finfo(np.float32).tiny))
    else:
        scale = np.sqrt(peaks / np.where(reach > 0, reach, np.inf))
    return np.where(scale > 0, np.clip(scale, 1 / LARGEST, LARGEST), 1.0)


def _along(scale: Array, rank: int, axis: int) -> Array:
    return scale.reshape([-1 if each == axis else 1 for each in range(rank)])


def _put(tensor: onnx.TensorProto, array: Array) -> None:
    tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float32), tensor.name))

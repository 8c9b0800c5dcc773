"""Channel padding for depthwise convolutions: zeros up to the numbers of channels that are fast.

onnxruntime's integer depthwise convolutions, and products of a map with a value per channel,
compute sixteen channels at a time and the rest one by one: 150 x 150 positions of 40 channels take
662 us and 512, of 48 channels 284 and 286. Unlike in `pad_channels` nothing removes the channels
behind the layer: they go on through all operators that keep channels apart, up to the convolutions
that read them with weights of zero.
"""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from convert.export.graph.surgery import initializers, readers
from convert.export.numerics import PREFIX
from convert.quantize.layers import attributes, is_depthwise, set_values
from convert.quantize.passes.pad_channels import MIN_POSITIONS

Array = NDArray[Any]
MULTIPLE = 16  # channels that are computed at a time
# these answer each channel from the same channel of what they read
CHANNELWISE = ("Relu", "LeakyRelu", "Sigmoid", "Clip", "Mul", "Add", "GlobalAveragePool")
IMAGE_RANK = 4  # (N, C, H, W)


@dataclass(slots=True)
class _Region:
    """Tensors of the same channels, and the layers that write and read them."""

    channels: int = 0
    tensors: set[str] = field(default_factory=set)
    writers: list[onnx.NodeProto] = field(default_factory=list)  # convolutions of one group
    depthwise: list[onnx.NodeProto] = field(default_factory=list)
    readers: list[onnx.NodeProto] = field(default_factory=list)  # convolutions of one group


@dataclass(frozen=True, slots=True)
class _Graph:
    producers: Mapping[str, onnx.NodeProto]
    readers: Mapping[str, list[onnx.NodeProto]]
    constants: Mapping[str, Array]


def pad_depthwise(model: onnx.ModelProto, sizes: Mapping[str, int]) -> onnx.ModelProto:
    """Return a copy with padded depthwise convolutions; its outputs stay the same.

    A depthwise convolution of MIN_POSITIONS or more is padded where all that shares its channels is
    a convolution with weights of its own or one of CHANNELWISE, and none of it is an output.

    Args:
        model: float graph with numerics.
        sizes: number of values in each tensor, for one sample.
    """
    padded = deepcopy(model)
    producers = {name: node for node in padded.graph.node for name in node.output}
    graph = _Graph(producers, readers(padded), initializers(padded))
    tensors = {tensor.name: tensor for tensor in padded.graph.initializer}
    done: set[str] = set()
    for node in padded.graph.node:
        if not _gains(node, graph, sizes) or node.output[0] in done:
            continue
        region = _region(node, graph)
        if region is not None:
            done |= region.tensors
            _pad(region, tensors, graph.constants)
            del padded.graph.value_info[:]  # of the old numbers of channels
    return padded


def _gains(node: onnx.NodeProto, graph: _Graph, sizes: Mapping[str, int]) -> bool:
    """Return True for a depthwise convolution whose channels are no multiple of MULTIPLE."""
    weights = graph.constants.get(node.input[1]) if node.op_type == "Conv" else None
    if weights is None or not is_depthwise(node, weights):
        return False
    positions = sizes.get(node.output[0], 0) // len(weights)
    return len(weights) % MULTIPLE != 0 and positions >= MIN_POSITIONS


def _region(node: onnx.NodeProto, graph: _Graph) -> _Region | None:
    """Return all that shares the channels of a depthwise convolution; None if a part cannot grow.

    Names of layers that both write and read the channels are in both lists.
    """
    region = _Region(channels=len(graph.constants[node.input[1]]))
    pending = [node.input[0], node.output[0]]
    while pending:
        name = pending.pop()
        if name in region.tensors:
            continue
        region.tensors.add(name)
        producer = graph.producers.get(name)
        if producer is None:
            return None
        for neighbour in (producer, *graph.readers.get(name, ())):
            reached = _reach(neighbour, name, region, graph)
            if reached is None:
                return None
            pending += reached
    return region


def _reach(node: onnx.NodeProto, name: str, region: _Region, graph: _Graph) -> Iterable[str] | None:
    """Add a node at a tensor to the region; return further tensors of its channels.

    None where the node cannot take more channels.
    """
    if node.name.startswith(PREFIX) or not node.op_type:
        return None  # numerics, or an output of the graph
    if node.op_type in CHANNELWISE:
        # a constant of one value fits any number of channels; any other ends the search
        others = [n for n in node.input if n and graph.constants.get(n, np.empty(2)).size != 1]
        return [*others, *node.output]
    if node.op_type != "Conv" or not _has_own_weights(node, graph):
        return None
    weights = graph.constants[node.input[1]]
    writes = name in node.output
    if is_depthwise(node, weights):
        names, layers, count = [node.input[0], node.output[0]], region.depthwise, len(weights)
    elif attributes(node).get("group", 1) != 1:
        return None
    elif writes:
        names, layers, count = [], region.writers, len(weights)
    else:
        names, layers, count = [], region.readers, weights.shape[1]
    if count != region.channels:
        return None  # a product of maps with different numbers of channels
    if node not in layers:
        layers.append(node)
    return names


def _has_own_weights(node: onnx.NodeProto, graph: _Graph) -> bool:
    names = [name for name in node.input[1:] if name]
    own = all(name in graph.constants and len(graph.readers[name]) == 1 for name in names)
    return own and graph.constants[node.input[1]].ndim == IMAGE_RANK


def _pad(
    region: _Region, tensors: Mapping[str, onnx.TensorProto], constants: Mapping[str, Array]
) -> None:
    """Give the layers of a region weights of zero for the new channels; in place.

    A region may share a layer with another one, which it writes where this one reads, so that the
    present values count and not those of the graph before.
    """
    added = -region.channels % MULTIPLE
    for node in (*region.writers, *region.depthwise):
        for name in filter(None, node.input[1:]):
            _grow(tensors[name], axis=0, added=added)
    for node in region.readers:
        _grow(tensors[node.input[1]], axis=1, added=added)
    for node in region.depthwise:
        group = next(item for item in node.attribute if item.name == "group")
        group.i += added


def _grow(tensor: onnx.TensorProto, *, axis: int, added: int) -> None:
    values = onnx.numpy_helper.to_array(tensor)
    width = [(0, added if index == axis else 0) for index in range(values.ndim)]
    set_values(tensor, np.pad(values, width))

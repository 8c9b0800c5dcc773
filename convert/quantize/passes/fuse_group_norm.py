"""Group normalization with a group for each channel: one InstanceNormalization for six nodes.

torch's exporter writes it for any number of groups: values are reshaped to groups, normalized,
reshaped back, multiplied and added to. Where each channel is a group the reshapes change nothing,
and InstanceNormalization itself takes a factor and a term for each channel. wav2vec2 normalizes its
largest tensor so: four passes over 20 MB less, and in a quantized graph the tensor is not converted
to float a second time for the one node that reads its shape.
"""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from convert.export.graph.surgery import initializers, readers, replace_nodes
from convert.quantize.layers import attributes

Array = NDArray[Any]
BEHIND = ("Reshape", "Mul", "Add")  # the norm, in this order


@dataclass(frozen=True, slots=True)
class _Match:
    """A group normalization of the output of a convolution."""

    source: str  # the tensor that is normalized
    norm: onnx.NodeProto
    last: onnx.NodeProto
    inner: tuple[str, ...]  # names of the nodes that are no longer needed
    scale: Array  # (C,)
    shift: Array  # (C,)


@dataclass(frozen=True, slots=True)
class _Edges:
    producers: Mapping[str, onnx.NodeProto]
    readers: Mapping[str, Sequence[onnx.NodeProto]]
    constants: Mapping[str, Array]


def fuse_group_norm(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy with an InstanceNormalization for each such group normalization.

    Args:
        model: float graph. Only norms of what a Conv answers change: its weights tell the number of
            channels and of axes.
    """
    fused = deepcopy(model)
    edges = _edges(fused)
    matches = {match.last.name: match for match in _matches(fused, edges)}
    if not matches:
        return fused
    removed = {name for match in matches.values() for name in match.inner}
    nodes, constants = [], []
    for node in fused.graph.node:
        if match := matches.get(node.name):
            name = match.last.name
            names = [f"{name}.scale", f"{name}.shift"]
            values = (match.scale, match.shift)
            pairs = zip(names, values, strict=True)
            constants += [numpy_helper.from_array(array, key) for key, array in pairs]
            inputs = [match.source, *names]
            settings = attributes(match.norm)
            node = helper.make_node(match.norm.op_type, inputs, node.output, name, **settings)
        if node.name not in removed:
            nodes.append(node)
    replace_nodes(fused, nodes, constants)
    return fused


def _edges(model: onnx.ModelProto) -> _Edges:
    producers = {name: node for node in model.graph.node for name in node.output}
    return _Edges(producers, readers(model), initializers(model))


def _matches(model: onnx.ModelProto, edges: _Edges) -> Iterator[_Match]:
    for norm in model.graph.node:
        if norm.op_type == "InstanceNormalization" and (match := _match(norm, edges)):
            yield match


def _match(norm: onnx.NodeProto, edges: _Edges) -> _Match | None:
    """Return the six nodes around a norm; None where they do more than normalize each channel."""
    before = edges.producers.get(norm.input[0])
    behind = _followers(norm, edges)
    scale, shift = (edges.constants.get(name) for name in norm.input[1:])
    if before is None or before.op_type != "Reshape" or scale is None or shift is None:
        return None
    if len(behind) < len(BEHIND) or len(edges.readers[before.output[0]]) != 1:
        return None
    back, product, addition = behind
    source = before.input[0]
    shape = edges.producers.get(back.input[1])
    if shape is None or (shape.op_type, shape.input[0]) != ("Shape", source):
        return None
    if len(edges.readers[shape.output[0]]) != 1:
        return None
    factors = _of_channels(product, source, edges)
    terms = _of_channels(addition, source, edges)
    if factors is None or terms is None or len(scale) != len(factors):
        return None
    inner = tuple(node.name for node in (before, norm, shape, back, product))
    values = (np.asarray(a, np.float32) for a in (scale * factors, shift * factors + terms))
    return _Match(source, norm, addition, inner, *values)


def _followers(norm: onnx.NodeProto, edges: _Edges) -> list[onnx.NodeProto]:
    """Return the nodes behind a norm, of the types BEHIND, each the only reader of the one before.

    There are fewer where another node is between them or reads one of them.
    """
    nodes: list[onnx.NodeProto] = []
    name = norm.output[0]
    for op_type in BEHIND:
        next_nodes = edges.readers.get(name, ())
        if len(next_nodes) != 1 or next_nodes[0].op_type != op_type:
            break
        nodes.append(next_nodes[0])
        name = next_nodes[0].output[0]
    return nodes


def _of_channels(node: onnx.NodeProto, source: str, edges: _Edges) -> Array | None:
    """Return the constant (C,) that a node reads, if it has a value for each channel of a tensor.

    Args:
        node: of two inputs.
        source: the tensor; only of what a Conv answers are the channels known.
        edges: of the graph.
    """
    layer = edges.producers.get(source)
    weights = edges.constants.get(layer.input[1]) if layer and layer.op_type == "Conv" else None
    constant = next((edges.constants[n] for n in node.input if n in edges.constants), None)
    if weights is None or constant is None:
        return None
    expected = (len(weights),) + (1,) * (weights.ndim - 2)
    squeezed = constant[0] if constant.ndim == weights.ndim and len(constant) == 1 else constant
    return squeezed.ravel() if squeezed.shape == expected else None

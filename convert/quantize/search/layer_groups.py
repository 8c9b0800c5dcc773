"""A network's layers, and what belongs to each: the parts that become integer or stay in float."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import onnx
from numpy.typing import NDArray

from convert.export.graph.surgery import initializers
from convert.export.numerics import PREFIX
from convert.quantize.layers import WEIGHTED, output_axis
from runtime.engine.session import Feeds


@dataclass(frozen=True, slots=True)
class Unit:
    """A layer with the activations that follow it: the smallest part that stays in float together.

    A float layer between integer activations is quantized on both sides all the same.
    """

    nodes: tuple[str, ...]  # the layer first
    work: float  # its share of the network's multiplications, in [0, 1]
    size: float  # and of the weights of its layers


def units(model: onnx.ModelProto, feeds: Feeds) -> tuple[Unit, ...]:
    """Partition the network's nodes into units, in graph order.

    Every weighted operator begins one; another node belongs to the latest unit among its inputs'.

    Args:
        model: as of `Quantizer`.
        feeds: one sample, whose sizes decide how much work a layer is.
    """
    weights = initializers(model)
    known = sizes(model, feeds)
    groups: list[list[str]] = []
    work: list[float] = []
    values: list[int] = []
    unit_of: dict[str, int] = {}
    for node in model.graph.node:
        if node.name.startswith(PREFIX):
            continue
        matrices = [weights[name] for name in node.input if name in weights]
        if node.op_type in WEIGHTED and matrices:
            groups.append([])
            index = len(groups) - 1
            work.append(_multiplications(node, matrices[0], known.get(node.output[0], 1)))
            values.append(matrices[0].size)
        else:
            index = max((unit_of[name] for name in node.input if name in unit_of), default=-1)
        if index < 0:
            continue
        groups[index].append(node.name)
        unit_of.update(dict.fromkeys(node.output, index))
    total, weights_of_all = sum(work) or 1.0, sum(values)
    return tuple(
        Unit(tuple(group), share / total, count / weights_of_all)
        for group, share, count in zip(groups, work, values, strict=True)
    )


def _multiplications(node: onnx.NodeProto, matrix: NDArray[Any], output_size: int) -> float:
    """Of one layer and sample: each output value is a sum over the weights of its channel."""
    return output_size * matrix.size / matrix.shape[output_axis(node, matrix.ndim)]


def sizes(model: onnx.ModelProto, feeds: Feeds) -> dict[str, int]:
    """Values in each tensor of one sample, by name, where shapes are known."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    del fixed.graph.value_info[:]  # of any size
    for value in fixed.graph.input:
        for dim, size in zip(
            value.type.tensor_type.shape.dim, feeds[value.name].shape, strict=True
        ):
            dim.dim_value = size
    known = (*with_shapes(fixed).graph.value_info, *model.graph.output)
    return {
        value.name: math.prod(dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim)
        for value in known
    }


def tail(model: onnx.ModelProto) -> Iterator[str]:
    """Nodes after the last weighted operator: they make the answer and cost next to nothing."""
    weights = initializers(model).keys()
    consumed_by_layer: set[str] = set()
    for node in reversed(model.graph.node):
        leads_to_layer = any(name in consumed_by_layer for name in node.output)
        is_layer = node.op_type in WEIGHTED and any(name in weights for name in node.input)
        if is_layer or leads_to_layer:
            consumed_by_layer.update(node.input)
        if not is_layer and not leads_to_layer:
            yield node.name


def with_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with type and shape of every tensor that can be told."""
    # the quantizer skips, without a word, a tensor whose type it does not know
    return onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)

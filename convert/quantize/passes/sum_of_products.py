"""Sums of products with constants along the last axis become one matrix product.

An expectation over bins, as the sides of YOLO's boxes, is written as Mul and ReduceSum, because the
quantizer takes a MatMul for a layer. Once the graph is quantized, a MatMul of one column computes
the same sums. YOLOv8n at 640 px: 0.09 ms for 0.31 of 20.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from convert.export.graph.surgery import initializers, readers, replace_nodes
from convert.quantize.layers import attributes

Array = NDArray[Any]
SUFFIX = "/column"


def sum_of_products(model: onnx.ModelProto, shapes: Mapping[str, Sequence[int]]) -> onnx.ModelProto:
    """Replace each Mul by a vector and the ReduceSum behind it, in place; return the model.

    Args:
        model: graph in which all that becomes integer is.
        shapes: of tensors by name; products and sums of unknown shapes stay.
    """
    constants, read_by = initializers(model), readers(model)
    removed: set[str] = set()
    replaced: dict[str, tuple[onnx.NodeProto, ...]] = {}
    added: list[onnx.TensorProto] = []
    for node in model.graph.node:
        vector, shape = _vector(node, constants), shapes.get(node.output[0], ())
        followers = read_by.get(node.output[0], [])
        if vector is None or len(followers) != 1 or not shape:
            continue
        source, (total,) = next(n for n in node.input if n != vector), followers
        fits = {constants[vector].size, shapes.get(source, (0,))[-1]} == {shape[-1]}
        if fits and _sums_last_axis(total, len(shape), constants):
            column, answer = f"{node.output[0]}{SUFFIX}", total.output[0]
            added += [
                numpy_helper.from_array(constants[vector].reshape(-1, 1), f"{column}.1"),
                numpy_helper.from_array(np.array([-1], np.int64), f"{column}_axis"),
            ]
            replaced[total.name] = (
                helper.make_node("MatMul", [source, f"{column}.1"], [column], column),
                helper.make_node("Squeeze", [column, f"{column}_axis"], [answer], total.name),
            )
            removed.add(node.name)
    if replaced:
        nodes = [node for node in model.graph.node if node.name not in removed]
        replace_nodes(model, [n for old in nodes for n in replaced.get(old.name, (old,))], added)
    return model


def _vector(node: onnx.NodeProto, constants: Mapping[str, Array]) -> str | None:
    """Return the name of the float vector that a Mul multiplies by; None for any other node."""
    if node.op_type != "Mul" or node.input[0] == node.input[1]:
        return None
    names = [name for name in node.input if name in constants]
    is_vector = len(names) == 1 and constants[names[0]].ndim == 1
    return names[0] if is_vector and constants[names[0]].dtype == np.float32 else None


def _sums_last_axis(node: onnx.NodeProto, rank: int, constants: Mapping[str, Array]) -> bool:
    """Return True for a ReduceSum along the last axis alone, which it removes."""
    if node.op_type != "ReduceSum" or attributes(node).get("keepdims", 1):
        return False
    axes = constants.get(node.input[1]) if len(node.input) > 1 else None
    return axes is not None and axes.tolist() in ([rank - 1], [-1])

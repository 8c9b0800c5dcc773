"""Weights of layers that stay in float, kept in 8 bits in the file.

Some layers are in float for what they read, not for their weights: rounded per channel they take
a quarter of the bytes. Cast and product are folded when onnxruntime loads the graph, so a run
takes no longer; a DequantizeLinear would be computed again in each.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from convert.export.graph.surgery import initializers, readers, replace_nodes
from convert.quantize.layers import WEIGHTED, output_axis, round_symmetric
from convert.quantize.passes.bias_correction import is_corrected, mean_answer

Array = NDArray[Any]
LEAST = 1024  # weights; fewer are not worth their nodes


def store_rounded(
    model: onnx.ModelProto, names: Collection[str], means: Mapping[str, Array]
) -> onnx.ModelProto:
    """Round the weights of these layers, symmetric and per channel; in place.

    Args:
        model: a graph in which they are float.
        names: of nodes; those without weights of their own are passed over.
        means: (C,) of what each reads, by name of node, to correct biases by; others stay.
    """
    weights, read_by = initializers(model), readers(model)
    rounded: dict[str, list[onnx.TensorProto]] = {}
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        kernel = _kernel(node, weights) if node.name in names else None
        if kernel is not None and len(read_by[node.input[1]]) == 1:
            name = node.input[1]
            axis = output_axis(node, kernel.ndim)
            others = tuple(each for each in range(kernel.ndim) if each != axis)
            integers, scale = round_symmetric(kernel, others)
            rounded[name] = list(_constants(name, integers, scale))
            nodes += _nodes(name)
            node.input[1] = f"{name}/product"
            own_bias = len(node.input) > 2 and len(read_by[node.input[2]]) == 1
            if node.name in means and is_corrected(node) and own_bias:
                error = integers * scale - kernel
                _correct(model, node, mean_answer(node, error, means[node.name]))
        nodes.append(node)
    replace_nodes(model, nodes, [tensor for pair in rounded.values() for tensor in pair])
    return model


def _kernel(node: onnx.NodeProto, weights: Mapping[str, Array]) -> Array | None:
    kernel = weights.get(node.input[1]) if node.op_type in WEIGHTED else None
    large = kernel is not None and kernel.dtype == np.float32 and kernel.size >= LEAST
    return kernel if large else None


def _constants(name: str, integers: Array, scale: Array) -> Iterator[onnx.TensorProto]:
    yield numpy_helper.from_array(integers.astype(np.int8), f"{name}/integers")
    yield numpy_helper.from_array(scale, f"{name}/scale")


def _nodes(name: str) -> Iterator[onnx.NodeProto]:
    cast, product = f"{name}/cast", f"{name}/product"
    yield helper.make_node("Cast", [f"{name}/integers"], [cast], cast, to=TensorProto.FLOAT)
    yield helper.make_node("Mul", [cast, f"{name}/scale"], [product], product)


def _correct(model: onnx.ModelProto, node: onnx.NodeProto, added: Array) -> None:
    """Take what rounding adds on average out of a float bias."""
    for tensor in model.graph.initializer:
        if tensor.name == node.input[2]:
            bias = numpy_helper.to_array(tensor) - added.astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(bias, tensor.name))

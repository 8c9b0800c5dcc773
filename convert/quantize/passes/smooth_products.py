"""Smoothing: divide the channels that matrix products read by their size, and multiply weights.

A product with weights W answers W x = (W s) (x / s) for any s, channel by channel. In a transformer
a few channels are ten times as large as all others, and a range that holds them leaves the others
a few steps. Divided by s they fit into one range; the weights take the sizes, and they have a scale
for each output channel. The division is one Mul for all products that read a tensor.

Source: Xiao et al., https://arxiv.org/abs/2211.10438, section 4, with STRENGTH for alpha.
"""

from collections import defaultdict
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from convert.export.graph.surgery import initializers, readers, replace_nodes
from convert.export.numerics import PREFIX
from convert.quantize.layers import set_values

Array = NDArray[Any]
# Share of a channel's size that moves into the weights. MiniLM on texts unlike the calibration:
# cosine 0.9964 at 0.65, 0.9969 at 0.7, 0.9955 at 0.8, 0.986 at 0.9; unchanged 0.9885
STRENGTH = 0.7
SMALLEST = 1e-5  # sizes below it count as this one
SUFFIX = "/smooth"  # ends the name of the divided tensor


def products_by_input(model: onnx.ModelProto) -> dict[str, list[onnx.NodeProto]]:
    """Return the MatMul nodes with weights of their own, by the tensor that they read.

    Nodes under PREFIX do not count: numerics stay in float.
    """
    weights = {tensor.name for tensor in model.graph.initializer if len(tensor.dims) == 2}
    read_by = readers(model)
    products: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in model.graph.node:
        is_product = node.op_type == "MatMul" and node.input[1] in weights
        if is_product and len(read_by[node.input[1]]) == 1 and not node.name.startswith(PREFIX):
            products[node.input[0]].append(node)
    return dict(products)


def smooth_products(model: onnx.ModelProto, abs_max: Mapping[str, Array]) -> onnx.ModelProto:
    """Return the same function, with products that read channels of similar sizes.

    Args:
        model: float graph.
        abs_max: (C,) largest absolute value of each channel, by name of the tensor; a tensor
            without an entry, or with one of another axis, stays as it is.
    """
    smoothed = deepcopy(model)
    del smoothed.graph.value_info[:]
    products = products_by_input(smoothed)
    weights = initializers(smoothed)
    tensors = {tensor.name: tensor for tensor in smoothed.graph.initializer}
    constants, divisions = [], {}
    for name in products.keys() & abs_max.keys():
        kernels = [weights[node.input[1]] for node in products[name]]
        if len(kernels[0]) != len(abs_max[name]):
            continue  # those of the axis that a Conv reads
        scale = _scales(abs_max[name], kernels)
        for node, kernel in zip(products[name], kernels, strict=True):
            set_values(tensors[node.input[1]], kernel * scale[:, np.newaxis])
            node.input[0] = f"{name}{SUFFIX}"
        factors = numpy_helper.from_array((1 / scale).astype(np.float32), f"{name}{SUFFIX}.1")
        constants.append(factors)
        output = f"{name}{SUFFIX}"
        divisions[name] = helper.make_node("Mul", [name, factors.name], [output], output)
    nodes = [divisions[value.name] for value in smoothed.graph.input if value.name in divisions]
    for node in smoothed.graph.node:
        nodes.append(node)
        nodes += [divisions[output] for output in node.output if output in divisions]
    replace_nodes(smoothed, nodes, sorted(constants, key=lambda tensor: tensor.name))
    return smoothed


def _scales(abs_max: Array, kernels: list[Array]) -> Array:
    """Return (C,) by what each channel is divided; the geometric mean of all is 1.

    Args:
        abs_max: (C,) of the activation.
        kernels: (C, outputs) each, weights that read it.
    """
    largest = np.max([np.abs(kernel).max(axis=1) for kernel in kernels], axis=0)
    activation, weight = (np.maximum(sizes, SMALLEST) for sizes in (abs_max, largest))
    scales = activation**STRENGTH / weight ** (1 - STRENGTH)
    normed: Array = (scales / np.exp(np.log(scales).mean())).astype(np.float32)
    return normed

"""Weight-only INT8: the file stores the weights of float layers in 8 bits.

Some layers are in float because of their input, not because of their weights. Rounded per output
channel these weights take a quarter of the bytes. onnxruntime folds the Cast and the product when
it loads the graph, so a run takes no longer; it would compute a DequantizeLinear in every run.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from convert.export.graph.surgery import initializers, readers, replace_nodes
from convert.quantize.layers import WEIGHTED, output_axis, round_symmetric, set_values
from convert.quantize.passes.bias_correction import has_plain_bias, mean_output

Array = NDArray[Any]
LEAST_WEIGHTS = 1024  # fewer are not worth their nodes


def store_weights_int8(
    model: onnx.ModelProto, names: Collection[str], means: Mapping[str, Array]
) -> onnx.ModelProto:
    """Round the weights of some layers, symmetric and per output channel; in place.

    Args:
        model: a graph in which these layers are float.
        names: names of the nodes. Nodes without weights of their own stay as they are.
        means: (C,) mean of each input channel, by node name; the biases of these nodes are
            corrected.
    """
    constants, read_by = initializers(model), readers(model)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    new_constants: list[onnx.TensorProto] = []
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        kernel = _large_kernel(node, constants) if node.name in names else None
        if kernel is not None and len(read_by[node.input[1]]) == 1:
            name = node.input[1]
            channel_axis = output_axis(node, kernel.ndim)
            others = tuple(axis for axis in range(kernel.ndim) if axis != channel_axis)
            integers, scales = round_symmetric(kernel, others)
            new_constants += _stored(name, integers, scales)
            nodes += _restoring_nodes(name)
            node.input[1] = f"{name}/product"
            has_own_bias = len(node.input) > 2 and len(read_by[node.input[2]]) == 1
            if node.name in means and has_plain_bias(node) and has_own_bias:
                bias = tensors[node.input[2]]
                error = mean_output(node, integers * scales - kernel, means[node.name])
                set_values(bias, numpy_helper.to_array(bias) - error.astype(np.float32))
        nodes.append(node)
    replace_nodes(model, nodes, new_constants)
    return model


def _large_kernel(node: onnx.NodeProto, constants: Mapping[str, Array]) -> Array | None:
    kernel = constants.get(node.input[1]) if node.op_type in WEIGHTED else None
    if kernel is None or kernel.dtype != np.float32 or kernel.size < LEAST_WEIGHTS:
        return None
    return kernel


def _stored(name: str, integers: Array, scales: Array) -> Iterator[onnx.TensorProto]:
    yield numpy_helper.from_array(integers.astype(np.int8), f"{name}/integers")
    yield numpy_helper.from_array(scales, f"{name}/scale")


def _restoring_nodes(name: str) -> Iterator[onnx.NodeProto]:
    """Yield the nodes that compute float weights from the stored ones."""
    cast, product = f"{name}/cast", f"{name}/product"
    yield helper.make_node("Cast", [f"{name}/integers"], [cast], cast, to=TensorProto.FLOAT)
    yield helper.make_node("Mul", [cast, f"{name}/scale"], [product], product)

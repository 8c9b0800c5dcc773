"""Bias correction: subtract from a bias what rounded weights add to its channel on average.

A layer with rounded weights W + d answers W x + d x. The mean of the error d x is d E[x]; it is
known from calibration, and subtracting it costs nothing at run. Rounding errors of activations have
a mean of zero.

Source: Nagel et al., https://arxiv.org/abs/1906.04721, section 4.2, with E[x] measured.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from convert.export.graph.surgery import initializers
from convert.quantize.layers import attributes, output_axis

Array = NDArray[Any]
LAYERS_WITH_BIAS = ("Conv", "Gemm")
INT32 = np.iinfo(np.int32)


def correct_biases(
    quantized: onnx.ModelProto, model: onnx.ModelProto, means: Mapping[str, Array]
) -> None:
    """Change the integer biases of quantized layers in place; float layers keep theirs.

    Args:
        quantized: `model` with QDQ pairs; node names are the same.
        model: the float graph.
        means: (C,) of the tensors that layers read, by tensor name.
    """
    weights = initializers(model)
    layers = {
        node.name: (node, weights[node.input[1]], means[node.input[0]])
        for node in model.graph.node
        if has_plain_bias(node) and node.input[1] in weights and node.input[0] in means
    }
    producers = {name: node for node in quantized.graph.node for name in node.output}
    tensors = {tensor.name: tensor for tensor in quantized.graph.initializer}
    for node in quantized.graph.node:
        sources = [producers[name] for name in node.input[1:3] if name in producers]
        constants = [source for source in sources if _dequantizes_constant(source, tensors)]
        if node.name in layers and len(constants) == 2:
            kernel, bias = constants
            float_node, weight, mean = layers[node.name]
            step = numpy_helper.to_array(tensors[bias.input[1]])
            error = _dequantize_weights(kernel, tensors) - weight
            steps = np.round(mean_output(float_node, error, mean) / step)
            corrected = numpy_helper.to_array(tensors[bias.input[0]]).astype(np.float64) - steps
            clipped = np.clip(corrected, INT32.min, INT32.max).astype(np.int32)
            tensors[bias.input[0]].CopyFrom(numpy_helper.from_array(clipped, bias.input[0]))


def has_plain_bias(node: onnx.NodeProto) -> bool:
    """Return True for a layer that adds its bias to its products without factors."""
    factors = attributes(node)
    is_plain = all(factors.get(name, 1) == 1 for name in ("alpha", "beta"))
    return node.op_type in LAYERS_WITH_BIAS and is_plain


def mean_output(node: onnx.NodeProto, weights: Array, mean: Array) -> Array:
    """Return (out,) the mean output of a layer with other weights, without its bias.

    Args:
        node: Conv or Gemm.
        weights: in place of the layer's own.
        mean: (in,) of the layer's input.
    """
    matrix = weights.reshape(*weights.shape[:2], -1).sum(axis=2)
    if output_axis(node, weights.ndim) == 1:
        matrix = matrix.T
    groups = attributes(node).get("group", 1)
    by_group = matrix.reshape(groups, -1, matrix.shape[1])
    output: Array = np.einsum("goi,gi->go", by_group, mean.reshape(groups, -1)).reshape(-1)
    return output


def _dequantizes_constant(node: onnx.NodeProto, tensors: Mapping[str, onnx.TensorProto]) -> bool:
    return node.op_type == "DequantizeLinear" and node.input[0] in tensors


def _dequantize_weights(node: onnx.NodeProto, tensors: Mapping[str, onnx.TensorProto]) -> Array:
    """Compute a DequantizeLinear of symmetric weights, whose zero point is 0."""
    integers, scale = (numpy_helper.to_array(tensors[name]) for name in node.input[:2])
    shape = [1] * integers.ndim
    if scale.ndim:
        shape[attributes(node).get("axis", 1)] = -1
    weights: Array = integers.astype(np.float32) * scale.reshape(shape)
    return weights

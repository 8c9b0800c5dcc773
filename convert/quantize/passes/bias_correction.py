"""What rounding weights adds to each output channel on average, taken out of the bias again.

A layer's rounded weights W + d answer W x + d x. The error d x has a mean, d E[x], which rounding
errors of activations have not; it is known from the calibration inputs, and costs nothing to
subtract.

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
CORRECTED = ("Conv", "Gemm")  # have a bias of their own
LIMITS = np.iinfo(np.int32)


def correct(quantized: onnx.ModelProto, model: onnx.ModelProto, means: Mapping[str, Array]) -> None:
    """Change the integer biases in place; layers that stayed in float are left alone.

    Args:
        quantized: QDQ pairs inserted into `model`, node names kept.
        model: the float graph.
        means: (C,) of the tensors that its layers read, by name.
    """
    weights = initializers(model)
    layers = {
        node.name: (node, weights[node.input[1]], means[node.input[0]])
        for node in model.graph.node
        if is_corrected(node) and node.input[1] in weights and node.input[0] in means
    }
    producers = {name: node for node in quantized.graph.node for name in node.output}
    tensors = {tensor.name: tensor for tensor in quantized.graph.initializer}
    for node in quantized.graph.node:
        sources = [producers.get(name) for name in node.input[1:3]]
        made = [each for each in sources if each is not None and _is_constant(each, tensors)]
        if node.name in layers and len(made) == 2:
            kernel, bias = made
            before, weight, mean = layers[node.name]
            step = numpy_helper.to_array(tensors[bias.input[1]])
            error = _scaled(kernel, tensors) - weight
            steps = np.round(mean_answer(before, error, mean) / step)
            changed = numpy_helper.to_array(tensors[bias.input[0]]).astype(np.float64) - steps
            clipped = np.clip(changed, LIMITS.min, LIMITS.max).astype(np.int32)
            tensors[bias.input[0]].CopyFrom(numpy_helper.from_array(clipped, bias.input[0]))


def is_corrected(node: onnx.NodeProto) -> bool:
    """True for a layer that adds its bias to its products as they are."""
    factors = attributes(node)
    plain = all(factors.get(name, 1) == 1 for name in ("alpha", "beta"))
    return node.op_type in CORRECTED and plain


def _is_constant(node: onnx.NodeProto, tensors: Mapping[str, onnx.TensorProto]) -> bool:
    return node.op_type == "DequantizeLinear" and node.input[0] in tensors


def _scaled(node: onnx.NodeProto, tensors: Mapping[str, onnx.TensorProto]) -> Array:
    """Weights as they answer; they are symmetric, so their zero point is 0."""
    rounded, scale = (numpy_helper.to_array(tensors[name]) for name in node.input[:2])
    axis = attributes(node).get("axis", 1)
    shape = [1] * rounded.ndim
    if scale.ndim:
        shape[axis] = -1
    scaled: Array = rounded.astype(np.float32) * scale.reshape(shape)
    return scaled


def mean_answer(node: onnx.NodeProto, error: Array, mean: Array) -> Array:
    """(out,) mean of what `error` in place of the weights answers to inputs of this mean."""
    matrix = error.reshape(*error.shape[:2], -1).sum(axis=2)
    if output_axis(node, error.ndim) == 1:
        matrix = matrix.T
    groups = attributes(node).get("group", 1)
    outputs = matrix.reshape(groups, -1, matrix.shape[1])
    answer: Array = np.einsum("goi,gi->go", outputs, mean.reshape(groups, -1)).reshape(-1)
    return answer

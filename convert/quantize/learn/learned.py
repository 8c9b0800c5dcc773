"""Learned layers, and how they get into another quantization of the same graph."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

from convert.quantize.layers import INT8_MAX, WEIGHTED, Array, attributes
from convert.quantize.passes.bias_correction import INT32, mean_output


@dataclass(frozen=True, slots=True)
class LearnedLayer:
    """Weights and bias of a layer in float32; the weights are whole steps of their scale."""

    weight: Array
    bias: Array | None


@dataclass(frozen=True, slots=True)
class LayerScale:
    """The steps of an integer layer's weights, and whether it has a bias."""

    steps: Array  # () or (outputs,)
    has_bias: bool  # in integers


@dataclass(frozen=True, slots=True)
class Learned:
    """Layers in steps of their rounding."""

    layers: Mapping[str, LearnedLayer]  # by node

    @property
    def digest(self) -> str:
        """Return "sha256:..." of everything that decides the answers."""
        content = hashlib.sha256()
        for name, layer in sorted(self.layers.items()):
            content.update(name.encode())
            content.update(layer.weight.tobytes())
            content.update(b"" if layer.bias is None else layer.bias.tobytes())
        return f"sha256:{content.hexdigest()}"


def layer_scales(quantized: onnx.ModelProto) -> dict[str, LayerScale]:
    """Return the scales of the layers whose weights are INT8, by name of the node."""
    producers = {name: node for node in quantized.graph.node for name in node.output}
    tensors = {tensor.name: tensor for tensor in quantized.graph.initializer}
    scales = {}
    for node in quantized.graph.node:
        weight, bias = _weight_and_bias(node, producers, tensors)
        if node.op_type not in WEIGHTED or weight is None:
            continue
        if tensors[weight.input[0]].data_type == onnx.TensorProto.INT8:
            steps = numpy_helper.to_array(tensors[weight.input[1]])
            scales[node.name] = LayerScale(steps, bias is not None)
    return scales


def round_as_learned(
    quantized: onnx.ModelProto,
    model: onnx.ModelProto,
    layers: Mapping[str, LearnedLayer],
    means: Mapping[str, Array],
) -> None:
    """Set the bytes of weights and biases to what was learned; in place.

    A layer that is in float here stays as it is. Where the weights have another scale than when
    they were learned (`reduce_range`), they are rounded once more, and the bias makes up for the
    mean of what that adds.

    Args:
        quantized: `model` with QDQ pairs.
        model: the float graph.
        layers: by name of the node.
        means: (C,) of the tensors that layers read, by tensor name.
    """
    producers = {name: node for node in quantized.graph.node for name in node.output}
    tensors = {tensor.name: tensor for tensor in quantized.graph.initializer}
    inputs = {node.name: node.input[0] for node in model.graph.node if node.input}
    for node in quantized.graph.node:
        weight, bias = _weight_and_bias(node, producers, tensors)
        layer = layers.get(node.name)
        if layer is None or weight is None:
            continue
        scale = _along_weights(weight, numpy_helper.to_array(tensors[weight.input[1]]), layer)
        steps = np.rint(layer.weight / np.where(scale > 0, scale, 1))
        integers = np.clip(steps, -INT8_MAX, INT8_MAX).astype(np.int8)
        _set(tensors[weight.input[0]], integers)
        if bias is not None and layer.bias is not None:
            mean = means.get(inputs[node.name])
            error = integers * scale - layer.weight
            added = 0 if mean is None else mean_output(node, error, mean)
            step = numpy_helper.to_array(tensors[bias.input[1]]).astype(np.float64)
            values = np.clip(np.rint((layer.bias - added) / step), INT32.min, INT32.max)
            _set(tensors[bias.input[0]], values.astype(np.int32))


def _weight_and_bias(
    node: onnx.NodeProto,
    producers: Mapping[str, onnx.NodeProto],
    tensors: Mapping[str, onnx.TensorProto],
) -> tuple[onnx.NodeProto | None, onnx.NodeProto | None]:
    """Return the nodes that make a layer's weights and bias of integers."""
    names = (*node.input[1:3], "", "")[:2]
    weight, bias = (_integer_constant(producers.get(name), tensors) for name in names)
    return weight, bias


def _integer_constant(
    node: onnx.NodeProto | None, tensors: Mapping[str, onnx.TensorProto]
) -> onnx.NodeProto | None:
    """Return the node if it makes float values of a constant."""
    if node is None or node.op_type != "DequantizeLinear" or node.input[0] not in tensors:
        return None
    return node


def _along_weights(weight: onnx.NodeProto, scale: Array, layer: LearnedLayer) -> Array:
    """Return the scale with the axes of the weights."""
    if not scale.ndim:
        return scale
    shape = [1] * layer.weight.ndim
    shape[attributes(weight).get("axis", 1)] = -1
    return scale.reshape(shape)


def _set(tensor: onnx.TensorProto, values: Array) -> None:
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), tensor.name))

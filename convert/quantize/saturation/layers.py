"""Layers of a quantized file that multiply UINT8 activations by INT8 weights."""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from convert.quantize.layers import attributes, is_depthwise, output_axis

T = TypeVar("T", bound=np.generic)

QDQ_PRODUCTS = ("Conv", "Gemm", "MatMul")  # between DequantizeLinear and QuantizeLinear
INTEGER_PRODUCTS = ("MatMulInteger", "ConvInteger")
INT16 = np.iinfo(np.int16)
UINT8_MAX = 255


@dataclass(frozen=True, slots=True)
class IntegerLayer:
    """One integer layer and its weights, in the order in which onnxruntime pairs their products."""

    name: str
    weights: NDArray[np.int8]  # (G, K, N): groups, inputs of one output value, outputs of a group

    @property
    def may_saturate(self) -> bool:
        """Return True where activations exist that saturate a pair of products."""
        return any(may_saturate(group) for group in self.weights)


def saturating_layers(path: Path) -> list[str]:
    """Return the names of the layers whose products may saturate on x86 CPUs without VNNI."""
    with warnings.catch_warnings():
        # onnx does not know the packed forms of weights (convert/package/mapped_weights.py)
        warnings.filterwarnings("ignore", "Ignoring unknown external data key")
        model = onnx.load(path)
    return [layer.name for layer in integer_layers(model) if layer.may_saturate]


def integer_layers(model: onnx.ModelProto) -> Iterator[IntegerLayer]:
    """Yield the products of UINT8 activations and constant INT8 weights, without depthwise ones."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    producers = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        tensor = constants.get(_weights_name(node, producers))
        if tensor is not None and tensor.data_type == onnx.TensorProto.INT8:
            weights = in_product_order(node, numpy_helper.to_array(tensor))
            if weights is not None:
                yield IntegerLayer(node.name, weights)


def _weights_name(node: onnx.NodeProto, producers: Mapping[str, onnx.NodeProto]) -> str:
    """Return the name of the integer tensor that a product multiplies by; "" for other nodes."""
    if node.op_type in INTEGER_PRODUCTS:
        return str(node.input[1])
    if node.op_type not in QDQ_PRODUCTS:
        return ""
    factors = [producers[name] for name in node.input[:2] if name in producers]
    if [factor.op_type for factor in factors] != ["DequantizeLinear"] * 2:
        return ""
    return str(factors[1].input[0])


def in_product_order(node: onnx.NodeProto, weights: NDArray[T]) -> NDArray[T] | None:
    """Arrange the weights of a layer in the order in which onnxruntime pairs their products.

    Args:
        node: of INTEGER_PRODUCTS or QDQ_PRODUCTS.
        weights: as the file stores them.

    Returns:
        (G, K, N): groups of a convolution, inputs of which channels are neighbours, outputs.
        None for depthwise convolutions: their kernel adds in 32 bits.
    """
    if not node.op_type.startswith("Conv"):
        matrix = weights.T if output_axis(node, weights.ndim) == 0 else weights
        return matrix.reshape(-1, *matrix.shape[-2:])
    if is_depthwise(node, weights):
        return None
    groups = int(attributes(node).get("group", 1))
    channels_last = np.moveaxis(weights, 1, -1).reshape(groups, len(weights) // groups, -1)
    return channels_last.transpose(0, 2, 1)


def may_saturate(weights: NDArray[np.int8]) -> bool:
    """Return True where activations exist that saturate a pair; never for weights of 7 bits.

    Args:
        weights: (K, N) int8, in product order.
    """
    pairs = pair_rows(weights.astype(np.int32))
    highest = np.maximum(pairs, 0).sum(axis=1) * UINT8_MAX
    lowest = np.minimum(pairs, 0).sum(axis=1) * UINT8_MAX
    return bool((highest > INT16.max).any() or (lowest < INT16.min).any())


def pair_rows(matrix: NDArray[T]) -> NDArray[T]:
    """Reshape (K, N) to (ceil(K / 2), 2, N), so that rows 2k and 2k + 1 are a pair.

    A row of zeros completes the last pair of an odd K.
    """
    depth, width = matrix.shape
    return np.pad(matrix, ((0, depth % 2), (0, 0))).reshape(-1, 2, width)

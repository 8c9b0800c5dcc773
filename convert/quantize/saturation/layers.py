"""Layers of a quantized file that multiply UINT8 activations by INT8 weights."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from convert.quantize.saturation.products import may_saturate

T = TypeVar("T", bound=np.generic)

QUANTIZED_PRODUCTS = ("Conv", "Gemm", "MatMul")  # between QuantizeLinear and DequantizeLinear
INTEGER_PRODUCTS = ("MatMulInteger", "ConvInteger")


@dataclass(frozen=True, slots=True)
class Layer:
    """One product with weights, as the file has it."""

    name: str
    op_type: str
    activations: str  # name of the UINT8 tensor
    zero_point: int  # of the activations; 0 where it is measured at each run
    weights: NDArray[np.int8]  # (G, K, N): groups, in the order in which products are paired
    scales: NDArray[np.float32]  # of the weights, (N,) of all groups or (1,)
    geometry: Mapping[str, Any]  # attributes of a convolution; empty for other products

    @property
    def may_saturate(self) -> bool:
        """Whether activations exist that saturate a pair of products."""
        return any(may_saturate(group) for group in self.weights)


def saturating_layers(path: Path) -> list[str]:
    """Names of the layers whose products may saturate on x86 without VNNI."""
    return [layer.name for layer in integer_layers(onnx.load(path)) if layer.may_saturate]


def integer_layers(model: onnx.ModelProto) -> Iterator[Layer]:
    """Products of UINT8 activations and constant INT8 weights, depthwise convolutions left out."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    makers = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        if node.op_type in INTEGER_PRODUCTS:
            layer = _layer(node, node.input[0], node.input[1], ((), ""), constants)
        elif node.op_type in QUANTIZED_PRODUCTS:
            sources = [makers.get(name) for name in node.input[:2]]
            if not all(each is not None and each.op_type == "DequantizeLinear" for each in sources):
                continue
            left, right = (each for each in sources if each is not None)
            facts = (left.input[2:3], right.input[1])
            layer = _layer(node, left.input[0], right.input[0], facts, constants)
        else:
            continue
        if layer is not None:
            yield layer


def _layer(
    node: onnx.NodeProto,
    activations: str,
    weights: str,
    facts: tuple[Sequence[str], str],
    constants: Mapping[str, onnx.TensorProto],
) -> Layer | None:
    tensor = constants.get(weights)
    if tensor is None or tensor.data_type != onnx.TensorProto.INT8:
        return None
    attributes = attributes_of(node)
    grouped = grouped_weights(node.op_type, numpy_helper.to_array(tensor), attributes)
    if grouped is None:
        return None
    zero_points, scales = facts
    zero_point = next((int(_constant(constants, name)) for name in zero_points), 0)
    known = _constant(constants, scales) if scales else np.ones(1, np.float32)
    return Layer(
        node.name,
        node.op_type,
        activations,
        zero_point,
        grouped,
        np.atleast_1d(known),
        attributes if node.op_type.startswith("Conv") else {},
    )


def _constant(constants: Mapping[str, onnx.TensorProto], name: str) -> NDArray[Any]:
    return numpy_helper.to_array(constants[name])


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """Its attributes, as Python values."""
    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


def grouped_weights(
    op_type: str, array: NDArray[T], attributes: Mapping[str, Any]
) -> NDArray[T] | None:
    """Weights in the order in which their products are paired.

    Args:
        op_type: of INTEGER_PRODUCTS or QUANTIZED_PRODUCTS.
        array: as the file has them.
        attributes: of the node.

    Returns:
        (G, K, N): groups of a convolution, of which channels are neighbours, then columns, rows.
        None for depthwise convolutions, which have a kernel of their own that sums in 32 bits.
    """
    if not op_type.startswith("Conv"):
        matrix = array.T if attributes.get("transB", 0) else array
        return matrix.reshape(-1, *matrix.shape[-2:])
    groups = int(attributes.get("group", 1))
    outputs, inputs = array.shape[:2]
    if inputs == 1 and outputs == groups > 1:
        return None
    last = np.moveaxis(array, 1, -1).reshape(groups, outputs // groups, -1)
    return last.transpose(0, 2, 1)

"""Layers of a graph: their attributes, the axis of their output channels, and their weights.

A layer is a node that multiplies by weights: Conv, ConvTranspose, Gemm or MatMul.
"""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Array = NDArray[Any]
WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
INT8_MAX = 127


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """Return the attributes of a node as Python values, by name."""
    return {item.name: helper.get_attribute_value(item) for item in node.attribute}


def output_axis(node: onnx.NodeProto, rank: int) -> int:
    """Return the axis of a layer's weights that runs over its output channels.

    Args:
        node: one of WEIGHTED.
        rank: number of axes of its weights.
    """
    if node.op_type == "Conv" or (node.op_type == "Gemm" and attributes(node).get("transB", 0)):
        return 0
    return 1 if node.op_type == "ConvTranspose" else rank - 1


def is_depthwise(node: onnx.NodeProto, weights: Array) -> bool:
    """Return True for a convolution that filters each channel alone, with one output for each."""
    groups = attributes(node).get("group", 1)
    is_convolution = node.op_type in ("Conv", "ConvInteger")
    return is_convolution and groups > 1 and weights.shape[:2] == (groups, 1)


def round_symmetric(values: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
    """Round to whole numbers in [-127, 127], with one scale for all values along some axes.

    Args:
        values: float32.
        axes: along which values share a scale.

    Returns:
        integers: float32, shaped as `values`; zero where all values of a scale are zero.
        scales: float32; `axes` have size 1.
    """
    scales = np.abs(values).max(axis=axes, keepdims=True) / np.float32(INT8_MAX)
    integers: Array = np.rint(values / np.where(scales > 0, scales, 1))
    return integers, scales.astype(np.float32)


def set_values(tensor: onnx.TensorProto, values: Array) -> None:
    """Replace the values of a constant, as float32; its name stays."""
    array = np.ascontiguousarray(values, np.float32)
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))

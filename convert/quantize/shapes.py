"""Shapes of the tensors of a graph, by ONNX's shape inference."""

import math
from copy import deepcopy

import onnx

from runtime.engine.session import Feeds


def infer_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph with the type and shape of every tensor that inference can determine.

    onnxruntime's quantizer leaves tensors of unknown type in float without an error.
    """
    return onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)


def tensor_sizes(model: onnx.ModelProto, feeds: Feeds) -> dict[str, int]:
    """Return the number of values in each tensor of known shape, for one sample.

    Args:
        model: free axes are allowed.
        feeds: the sample; its shapes replace the free axes of the inputs.
    """
    fixed = deepcopy(model)
    del fixed.graph.value_info[:]  # shapes inferred for free axes would be kept
    for value in fixed.graph.input:
        dims = value.type.tensor_type.shape.dim
        for dim, size in zip(dims, feeds[value.name].shape, strict=True):
            dim.dim_value = size
    return {
        value.name: math.prod(dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim)
        for value in (*infer_shapes(fixed).graph.value_info, *model.graph.output)
    }


def tensor_shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor, by its name; 0 is an axis of any size, () also unknown.

    Args:
        model: with the shapes that `infer_shapes` found.
    """
    values = (*model.graph.input, *model.graph.value_info, *model.graph.output)
    return {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in values
    }

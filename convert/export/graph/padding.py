"""Keep zeros around a feature map: onnxruntime's fusion of Pad and MaxPool drops them."""

from copy import deepcopy

import numpy as np
import onnx
from onnx import helper, numpy_helper, shape_inference

# they only move values; where onnxruntime removes them, the Pad is next to the MaxPool
MOVES = frozenset({"Transpose", "Identity", "Dropout", "Reshape", "Squeeze", "Unsqueeze"})


def keep_zero_padding(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a graph in which a Pad with 0 that a MaxPool reads pads with -0.0, an equal number.

    onnxruntime moves a Pad with 0 into the MaxPool that reads it. MaxPool pads with minus infinity:
    where all values at an edge are negative, the fused one returns the largest of them instead of
    0, without an error. Keras's ResNet50V2 has such a pair. The fusion passes over -0.0, because it
    compares bytes.

    Args:
        model: a graph of opset 11 or newer; in older ones the value is no input, and stays.
    """
    copy = deepcopy(model)
    graph = copy.graph
    pads = [
        node for node in graph.node if _pads_with_zero(node, graph) and _meets_pool(node, graph)
    ]
    types = _element_types(model) if pads else {}
    for pad in pads:
        dtype = helper.tensor_dtype_to_np_dtype(types.get(pad.output[0], onnx.TensorProto.FLOAT))
        if dtype.kind == "f":
            name = f"{pad.output[0]}_negative_zero"
            graph.initializer.append(numpy_helper.from_array(np.array(-0.0, dtype), name))
            pad.input[2:3] = [name]
    return copy


def _pads_with_zero(node: onnx.NodeProto, graph: onnx.GraphProto) -> bool:
    modes = {attribute.s for attribute in node.attribute if attribute.name == "mode"}
    if node.op_type != "Pad" or modes - {b"constant"} or len(node.input) < 2:
        return False
    value = _constant(node.input[2], graph) if len(node.input) > 2 and node.input[2] else 0
    return value is not None and not np.any(value)


def _meets_pool(node: onnx.NodeProto, graph: onnx.GraphProto) -> bool:
    """Return whether a MaxPool reads the node's output, itself or behind nodes of MOVES."""
    names = list(node.output)
    for name in names:  # grows while nodes that move values are met
        for reader in graph.node:
            if name in reader.input[:1]:
                if reader.op_type == "MaxPool":
                    return True
                if reader.op_type in MOVES:
                    names.append(reader.output[0])
    return False


def _constant(name: str, graph: onnx.GraphProto) -> np.ndarray | None:
    """Return the value of an initializer or of a Constant node; None: it is computed."""
    tensors = [tensor for tensor in graph.initializer if tensor.name == name]
    for node in graph.node:
        if node.op_type == "Constant" and name in node.output:
            tensors.extend(attribute.t for attribute in node.attribute if attribute.HasField("t"))
    return numpy_helper.to_array(tensors[0]) if tensors else None


def _element_types(model: onnx.ModelProto) -> dict[str, int]:
    """Return the element type of each tensor, by name, where ONNX infers it."""
    graph = shape_inference.infer_shapes(model).graph
    values = (*graph.value_info, *graph.output)
    return {value.name: value.type.tensor_type.elem_type for value in values}

"""Let the Reshapes of a graph that was exported for one sample take any number of samples."""

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper, shape_inference

from convert.export.graph.surgery import initializers, replace_field


def free_reshapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Let a Reshape keep the batch axis where its constant shape has a 1 for it.

    Exported for a batch of 1, `x.view(x.shape[0], -1, 4)` has the constant shape (1, -1, 4). Given
    three samples it would return one that is three times as long, without an error.

    Args:
        model: a graph whose inputs still have a batch of 1. Reshapes of inputs whose first axis is
            not 1, and shapes that are computed, stay unchanged.
    """
    freed = shape_inference.infer_shapes(model, data_prop=True)
    graph, constants = freed.graph, initializers(freed)
    values = (*graph.input, *graph.value_info)
    single = {value.name for value in values if _first_axis(value) == 1}
    for node in graph.node:
        if node.op_type != "Reshape" or node.input[0] not in single:
            continue
        shape = _single_sample_shape(node, constants)
        if shape is not None:
            name = f"{node.output[0]}_shape"
            free_shape = np.concatenate([[0], shape[1:]]).astype(np.int64)  # 0: the input's size
            graph.initializer.append(numpy_helper.from_array(free_shape, name))
            node.input[1] = name
            others = [a for a in node.attribute if a.name != "allowzero"]
            replace_field(node.attribute, others)
    return freed


def _first_axis(value: onnx.ValueInfoProto) -> int:
    dims = value.type.tensor_type.shape.dim
    return dims[0].dim_value if dims else 0


def _single_sample_shape(
    node: onnx.NodeProto, constants: Mapping[str, NDArray[np.generic]]
) -> NDArray[np.generic] | None:
    """Return the constant shape of a Reshape if its first size is 1.

    With `allowzero`, a 0 elsewhere in the shape means an axis of size 0; such a Reshape stays.
    """
    shape = constants.get(node.input[1])
    if shape is None or shape.size < 2 or shape[0] != 1:
        return None
    literal = any(a.name == "allowzero" and a.i for a in node.attribute)
    return None if literal and (shape == 0).any() else shape

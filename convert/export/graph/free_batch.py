"""Reshapes of a graph that was exported for one sample, made to take any number of them."""

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper, shape_inference

from convert.export.graph.surgery import initializers, replace_field


def free_reshapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Let each Reshape keep the first axis where its constant shape says 1, and that axis is 1.

    Exported for a batch of 1, `x.view(x.shape[0], -1, 4)` becomes a constant shape of (1, -1, 4):
    of three samples it makes one, three times as long, and nobody is told.

    Args:
        model: a graph whose inputs still have the batch that it was made for; other ones, and
            shapes that are not constants, stay as they are.
    """
    freed = shape_inference.infer_shapes(model, data_prop=True)
    graph, constants = freed.graph, initializers(freed)
    values = (*graph.input, *graph.value_info)
    single = {value.name for value in values if _first(value) == 1}
    for node in graph.node:
        if node.op_type != "Reshape" or node.input[0] not in single:
            continue
        shape = _of_one_sample(node, constants)
        if shape is not None:
            name = f"{node.output[0]}_shape"
            kept = np.concatenate([[0], shape[1:]]).astype(np.int64)  # 0: as it comes
            graph.initializer.append(numpy_helper.from_array(kept, name))
            node.input[1] = name
            others = [each for each in node.attribute if each.name != "allowzero"]
            replace_field(node.attribute, others)
    return freed


def _first(value: onnx.ValueInfoProto) -> int:
    dims = value.type.tensor_type.shape.dim
    return dims[0].dim_value if dims else 0


def _of_one_sample(
    node: onnx.NodeProto, constants: Mapping[str, NDArray[np.generic]]
) -> NDArray[np.generic] | None:
    """The constant shape where it begins with 1; with `allowzero`, a 0 in it is no such word."""
    shape = constants.get(node.input[1])
    if shape is None or shape.size < 2 or shape[0] != 1:
        return None
    literal = any(each.name == "allowzero" and each.i for each in node.attribute)
    return None if literal and (shape == 0).any() else shape

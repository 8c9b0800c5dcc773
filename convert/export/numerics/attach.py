"""Numerics joined with the network that they surround."""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper

from convert.export.numerics.fragment import Head, Input
from runtime.artifact.manifest import TensorSpec


def attach(
    core: onnx.ModelProto, *, given: Input, head: Head, outputs: Sequence[TensorSpec]
) -> onnx.ModelProto:
    """Put numerics before and after a network.

    Args:
        core: graph whose inputs and outputs are those of the network, in its order.
        given: what the graph's inputs become.
        head: what makes the graph's outputs.
        outputs: as `head.tensors` gives them.

    Returns:
        Graph from `given.tensors` to the task's outputs.
    """
    graph = core.graph
    before = given.nodes(*(value.name for value in graph.input))
    after = head.nodes(*(value.name for value in graph.output))
    whole = helper.make_graph(
        [*before.nodes, *graph.node, *after.nodes],
        "slipway",
        [_value_info(tensor) for tensor in given.tensors],
        [_value_info(tensor) for tensor in outputs],
        [*before.initializers, *graph.initializer, *after.initializers],
    )
    return helper.make_model(whole, opset_imports=core.opset_import, ir_version=core.ir_version)


def _value_info(tensor: TensorSpec) -> onnx.ValueInfoProto:
    element = helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype))
    return helper.make_tensor_value_info(tensor.name, element, list(tensor.shape))

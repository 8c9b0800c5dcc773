"""Join numerics with the network that they surround."""

from collections.abc import Sequence
from copy import deepcopy

import numpy as np
import onnx
from onnx import helper

from convert.export.numerics.fragment import Head, Input
from runtime.artifact.manifest import TensorSpec


def attach(
    core: onnx.ModelProto, *, input: Input, head: Head, outputs: Sequence[TensorSpec]
) -> onnx.ModelProto:
    """Put numerics before and after a network.

    Args:
        core: the network's graph; its inputs and outputs are in the network's order.
        input: numerics from the graph's inputs to the network's.
        head: numerics from the network's outputs to the graph's.
        outputs: the graph's outputs, as `head.tensors` returns them.

    Returns:
        Graph from `input.tensors` to `outputs`.
    """
    graph = _without_name_clashes(core, [tensor.name for tensor in input.tensors]).graph
    before = input.nodes(*(value.name for value in graph.input))
    after = head.nodes(*(value.name for value in graph.output))
    whole = helper.make_graph(
        [*before.nodes, *graph.node, *after.nodes],
        "slipway",
        [_value_info(tensor) for tensor in input.tensors],
        [_value_info(tensor) for tensor in outputs],
        [*before.initializers, *graph.initializer, *after.initializers],
    )
    return helper.make_model(whole, opset_imports=core.opset_import, ir_version=core.ir_version)


def _without_name_clashes(core: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """Rename the network's inputs that are called as an input of the whole graph will be."""
    clashes = {value.name for value in core.graph.input}.intersection(names)
    if not clashes:
        return core
    renamed = deepcopy(core)
    for value in renamed.graph.input:
        if value.name in clashes:
            value.name = f"network/{value.name}"
    for node in renamed.graph.node:
        node.input[:] = [f"network/{n}" if n in clashes else n for n in node.input]
    return renamed


def _value_info(tensor: TensorSpec) -> onnx.ValueInfoProto:
    """Return a tensor's declaration in the graph."""
    element_type = helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype))
    return helper.make_tensor_value_info(tensor.name, element_type, list(tensor.shape))

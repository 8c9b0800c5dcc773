"""Ranges of what gates itself, x * sigmoid(x): behind a closed gate nothing need be told apart.

Networks push what they do not want far below zero. A range down to there leaves few steps for the
values that count: YOLOv8's first layers answer from -130 to 125, and -8 is as closed as -130.
"""

from collections import Counter
from collections.abc import Mapping

import onnx

CLOSED = -8.0  # the product is -0.0027 there, and nearer to zero below
GATE = Counter(["Sigmoid", "Mul"])


def without_closed(
    model: onnx.ModelProto, ranges: Mapping[str, tuple[float, float]]
) -> dict[str, tuple[float, float]]:
    """Ranges with CLOSED as the least minimum of each tensor that only its own gate reads.

    Args:
        model: the graph.
        ranges: minimum and maximum by name of tensor.
    """
    narrowed = dict(ranges)
    for name in _self_gated(model):
        if name in narrowed:
            low, high = narrowed[name]
            narrowed[name] = (max(low, CLOSED), high)
    return narrowed


def _self_gated(model: onnx.ModelProto) -> set[str]:
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    outputs = {value.name for value in model.graph.output}
    return {
        node.input[0]
        for node in model.graph.node
        if node.op_type == "Sigmoid"
        and node.input[0] not in outputs
        and Counter(each.op_type for each in readers[node.input[0]]) == GATE
        and any(
            set(each.input) == {node.input[0], node.output[0]} for each in readers[node.input[0]]
        )
    }

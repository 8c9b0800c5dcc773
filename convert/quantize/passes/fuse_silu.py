"""What gates itself, x * sigmoid(x): its ranges, and the one operator that it becomes.

Behind a closed gate nothing need be told apart. Networks push what they do not want far below zero;
a range down to there leaves few steps for the values that count: YOLOv8's first layers answer from
-130 to 125, and -8 is as closed as -130.

The gate itself stays in float, where onnxruntime has one operator for it. A sigmoid and a product
of integers take longer than that with the steps to float and back (YOLOv8n 1.1 times the whole
network's time), and round a second time.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import onnx
from onnx import helper

from convert.export.graph.surgery import VENDOR, readers, replace_nodes

CLOSED = -8.0  # the product is -0.0027 there, and nearer to zero below
GATE = Counter(["Sigmoid", "Mul"])


@dataclass(frozen=True, slots=True)
class Gate:
    """Two nodes, which alone read one tensor."""

    sigmoid: onnx.NodeProto
    product: onnx.NodeProto

    @property
    def source(self) -> str:
        """What is gated."""
        return self.sigmoid.input[0]


def gates(model: onnx.ModelProto) -> Iterator[Gate]:
    """Every x * sigmoid(x) of a tensor that nothing else reads."""
    read_by = readers(model)
    for node in model.graph.node:
        if node.op_type != "Sigmoid":
            continue
        around = read_by[node.input[0]]
        after = read_by.get(node.output[0], [])
        if Counter(each.op_type for each in around) != GATE or len(after) != 1:
            continue
        (product,) = (each for each in around if each.op_type == "Mul")
        if set(product.input) == {node.input[0], node.output[0]}:
            yield Gate(node, product)


def gate_nodes(model: onnx.ModelProto) -> frozenset[str]:
    """Names of the nodes that stay in float."""
    return frozenset(
        name for gate in gates(model) for name in (gate.sigmoid.name, gate.product.name)
    )


def without_closed(
    model: onnx.ModelProto, ranges: Mapping[str, tuple[float, float]]
) -> dict[str, tuple[float, float]]:
    """Ranges with CLOSED as the least minimum of each tensor that only its own gate reads.

    Args:
        model: the graph.
        ranges: minimum and maximum by name of tensor.
    """
    narrowed = dict(ranges)
    for name in (gate.source for gate in gates(model)):
        if name in narrowed:
            low, high = narrowed[name]
            narrowed[name] = (max(low, CLOSED), high)
    return narrowed


def fuse_gates(model: onnx.ModelProto) -> onnx.ModelProto:
    """Make one operator of every gate; in place."""
    found = list(gates(model))
    if not found:
        return model
    gone = {gate.sigmoid.name for gate in found}
    fused = {gate.product.name: _fused(gate) for gate in found}
    nodes = [fused.get(node.name, node) for node in model.graph.node if node.name not in gone]
    replace_nodes(model, nodes)
    return model


def _fused(gate: Gate) -> onnx.NodeProto:
    product = gate.product
    return helper.make_node(
        "QuickGelu", [gate.source], product.output, product.name, domain=VENDOR, alpha=1.0
    )

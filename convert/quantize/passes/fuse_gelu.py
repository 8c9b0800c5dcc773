"""GELU fusion: x * 0.5 * (1 + erf(x / sqrt(2))) becomes onnxruntime's operator Gelu.

onnxruntime fuses it itself in a float graph. After an integer layer each reader of x has a
DequantizeLinear of its own; onnxruntime then does not recognise the pattern, and computes five
operators on what is often the largest tensor of the network.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

from convert.export.graph.surgery import VENDOR, readers, replace_nodes


@dataclass(frozen=True, slots=True)
class _Edges:
    """The node that computes each tensor, the nodes that read it, and constants of one value."""

    producers: Mapping[str, onnx.NodeProto]
    readers: Mapping[str, Sequence[onnx.NodeProto]]
    scalars: Mapping[str, float]


def fuse_gelu(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace every GELU that is written out in five nodes; in place."""
    edges = _edges(model)
    matches = [nodes for node in model.graph.node if (nodes := _match(node, edges))]
    if not matches:
        return model
    removed = {node.name for nodes in matches for node in nodes[:-1]}
    fused = {nodes[-1].name: _fuse(nodes) for nodes in matches}
    kept_nodes = [node for node in model.graph.node if node.name not in removed]
    replace_nodes(model, [fused.get(node.name, node) for node in kept_nodes])
    return model


def _edges(model: onnx.ModelProto) -> _Edges:
    producers = {name: node for node in model.graph.node for name in node.output}
    scalars = {
        tensor.name: float(numpy_helper.to_array(tensor))
        for tensor in model.graph.initializer
        if not tensor.dims
    }
    return _Edges(producers, readers(model), scalars)


def _match(erf: onnx.NodeProto, edges: _Edges) -> tuple[onnx.NodeProto, ...] | None:
    """Return the five nodes of the GELU around an Erf, in graph order; None where there is none."""
    if erf.op_type != "Erf":
        return None
    division = edges.producers.get(erf.input[0])
    addition = _only_reader(erf, "Add", edges, constant=1.0)
    if division is None or addition is None or not _divides_by_root_two(division, edges):
        return None
    products = list(_products(division.input[0], addition, edges))
    nodes = (division, erf, addition, *products)
    inner = (node.output[0] for node in nodes[:-1])
    has_no_other_readers = all(len(edges.readers.get(name, ())) == 1 for name in inner)
    return nodes if products and has_no_other_readers else None


def _divides_by_root_two(node: onnx.NodeProto, edges: _Edges) -> bool:
    if node.op_type != "Div" or len(node.input) != 2:
        return False
    return bool(np.isclose(edges.scalars.get(node.input[1], 0.0), np.sqrt(2), rtol=1e-6))


def _products(source: str, addition: onnx.NodeProto, edges: _Edges) -> Iterator[onnx.NodeProto]:
    """Yield the product of a sum with x and the product of that with 0.5; nothing without both."""
    product = _only_reader(addition, "Mul", edges)
    if product is None or Counter(product.input) != Counter([source, addition.output[0]]):
        return
    half = _only_reader(product, "Mul", edges, constant=0.5)
    if half is not None:
        yield product
        yield half


def _only_reader(
    node: onnx.NodeProto, op_type: str, edges: _Edges, *, constant: float | None = None
) -> onnx.NodeProto | None:
    """Return the only reader of a node; None where it is of another type.

    Args:
        node: with one output.
        op_type: of the reader.
        edges: of the graph.
        constant: that the reader must read as well; None: any other input will do.
    """
    nodes = edges.readers.get(node.output[0], ())
    if len(nodes) != 1 or nodes[0].op_type != op_type:
        return None
    if constant is None or constant in (edges.scalars.get(name) for name in nodes[0].input):
        return nodes[0]
    return None


def _fuse(nodes: tuple[onnx.NodeProto, ...]) -> onnx.NodeProto:
    first, last = nodes[0], nodes[-1]
    return helper.make_node("Gelu", [first.input[0]], [last.output[0]], last.name, domain=VENDOR)

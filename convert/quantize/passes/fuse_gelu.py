"""GELU written out, x * 0.5 * (1 + erf(x / sqrt(2))), as the one operator that onnxruntime has.

onnxruntime does this itself in a float graph. Behind an integer layer it gives each reader of x a
DequantizeLinear of its own, no longer sees one x, and passes five times over what is mostly the
largest tensor of the network.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

from convert.export.graph.surgery import VENDOR, replace_nodes


@dataclass(frozen=True, slots=True)
class _Edges:
    """Who makes and who reads each tensor."""

    producers: Mapping[str, onnx.NodeProto]
    readers: Mapping[str, tuple[onnx.NodeProto, ...]]
    scalars: Mapping[str, float]  # constants of one value


def fuse_gelus(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace every GELU that is written out; in place."""
    edges = _edges(model.graph)
    found = [parts for node in model.graph.node if (parts := _gelu(node, edges))]
    if not found:
        return model
    gone = {node.name for parts in found for node in parts[:-1]}
    fused = {parts[-1].name: _fused(parts) for parts in found}
    nodes = [fused.get(node.name, node) for node in model.graph.node if node.name not in gone]
    replace_nodes(model, nodes)
    return model


def _edges(graph: onnx.GraphProto) -> _Edges:
    readers: dict[str, tuple[onnx.NodeProto, ...]] = {}
    for node in graph.node:
        for name in node.input:
            readers[name] = (*readers.get(name, ()), node)
    for value in graph.output:  # what the graph gives must stay
        readers[value.name] = (*readers.get(value.name, ()), onnx.NodeProto())
    scalars = {
        tensor.name: float(numpy_helper.to_array(tensor))
        for tensor in graph.initializer
        if not tensor.dims
    }
    return _Edges({name: node for node in graph.node for name in node.output}, readers, scalars)


def _gelu(erf: onnx.NodeProto, edges: _Edges) -> tuple[onnx.NodeProto, ...] | None:
    """The five nodes around an Erf, the last one last; None where they are none of a GELU."""
    if erf.op_type != "Erf":
        return None
    divided = edges.producers.get(erf.input[0])
    added = _reader(erf, "Add", edges, constant=1.0)
    if divided is None or added is None or not _divides_by_root_two(divided, edges):
        return None
    rest = list(_halved(divided.input[0], added, edges))
    parts = (divided, erf, added, *rest)
    inner = (node.output[0] for node in parts[:-1])
    alone = all(len(edges.readers.get(name, ())) == 1 for name in inner)
    return parts if rest and alone else None


def _divides_by_root_two(node: onnx.NodeProto, edges: _Edges) -> bool:
    if node.op_type != "Div" or len(node.input) != 2:
        return False
    return bool(np.isclose(edges.scalars.get(node.input[1], 0.0), np.sqrt(2), rtol=1e-6))


def _halved(source: str, added: onnx.NodeProto, edges: _Edges) -> Iterator[onnx.NodeProto]:
    """The product with x, and then with 0.5; nothing where it goes on otherwise."""
    product = _reader(added, "Mul", edges)
    if product is None or Counter(product.input) != Counter([source, added.output[0]]):
        return
    half = _reader(product, "Mul", edges, constant=0.5)
    if half is not None:
        yield product
        yield half


def _reader(
    node: onnx.NodeProto, op_type: str, edges: _Edges, *, constant: float | None = None
) -> onnx.NodeProto | None:
    """The one reader of a node, if it is of this type, and its other input this constant."""
    readers = edges.readers.get(node.output[0], ())
    if len(readers) != 1 or readers[0].op_type != op_type:
        return None
    if constant is None or constant in (edges.scalars.get(name) for name in readers[0].input):
        return readers[0]
    return None


def _fused(parts: tuple[onnx.NodeProto, ...]) -> onnx.NodeProto:
    first, last = parts[0], parts[-1]
    return helper.make_node("Gelu", [first.input[0]], [last.output[0]], last.name, domain=VENDOR)

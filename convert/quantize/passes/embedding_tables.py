"""Embedding tables in 8 bits: rows are looked up as integers, and only those become float.

Behind the look-up, because onnxruntime would otherwise make the whole table float at every run (a
DequantizeLinear before it), or once and keep it (a constant it can fold).
"""

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import helper, numpy_helper

from convert.export.graph.surgery import replace_nodes
from convert.export.numerics import PREFIX
from convert.quantize.layers import round_symmetric

SMALLEST = 100_000  # values of a table that is worth it


def quantize_tables(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace each large table of rows by INT8 and a scale per row.

    Args:
        model: float graph. Of its tables those count that Gather alone reads, by rows.

    Returns:
        The graph, with `Cast(Gather(int8)) * Gather(scales)` for each such Gather, named under
        PREFIX: no range of what they give is ever observed.
    """
    quantized = onnx.ModelProto()
    quantized.CopyFrom(model)
    graph = quantized.graph
    chosen = {tensor.name: tensor for tensor in graph.initializer if _is_table(tensor, graph)}
    nodes = [
        made
        for node in graph.node
        for made in (_looked_up(node) if node.input and node.input[0] in chosen else [node])
    ]
    replace_nodes(quantized, nodes, [part for tensor in chosen.values() for part in _parts(tensor)])
    return quantized


def _is_table(tensor: onnx.TensorProto, graph: onnx.GraphProto) -> bool:
    if tensor.data_type != onnx.TensorProto.FLOAT or len(tensor.dims) != 2:
        return False
    readers = [node for node in graph.node if tensor.name in node.input]
    by_row = all(
        node.op_type == "Gather"
        and node.input[0] == tensor.name
        and not any(attribute.name == "axis" and attribute.i for attribute in node.attribute)
        for node in readers
    )
    return bool(readers) and by_row and int(np.prod(tensor.dims)) >= SMALLEST


def _parts(tensor: onnx.TensorProto) -> Iterator[onnx.TensorProto]:
    rows = numpy_helper.to_array(tensor)
    integers, scales = round_symmetric(rows, (1,))
    yield numpy_helper.from_array(integers.astype(np.int8), f"{tensor.name}_int8")
    yield numpy_helper.from_array(scales, f"{tensor.name}_scales")


def _looked_up(node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    table, rows = node.input
    p = f"{PREFIX}{node.name}/"
    make = helper.make_node
    yield make("Gather", [f"{table}_int8", rows], [p + "integers"], p + "integers")
    yield make("Gather", [f"{table}_scales", rows], [p + "scales"], p + "scales")
    yield make("Cast", [p + "integers"], [p + "float"], p + "cast", to=onnx.TensorProto.FLOAT)
    yield make("Mul", [p + "float", p + "scales"], node.output, p + "scale")

"""Embedding tables in 8 bits: the graph looks up integer rows and makes only those float.

The conversion to float comes after the look-up. Before it, onnxruntime would make the whole table
float in every run (DequantizeLinear), or once, and keep it in memory (a constant that it folds).
"""

from collections.abc import Iterator
from copy import deepcopy

import numpy as np
import onnx
from onnx import helper, numpy_helper

from convert.export.graph.surgery import readers, replace_nodes
from convert.export.numerics import PREFIX
from convert.quantize.layers import attributes, round_symmetric

SMALLEST_TABLE = 100_000  # values; smaller tables are not worth their nodes


def quantize_embedding_tables(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace each large table by INT8 values and a scale per row.

    Args:
        model: float graph. A table is a matrix that only Gather nodes read, row by row.

    Returns:
        The graph with `Cast(Gather(int8)) * Gather(scales)` for each such Gather. The new nodes are
        named under PREFIX, so their outputs are not calibrated.
    """
    quantized = deepcopy(model)
    read_by = readers(quantized)
    tables = {
        tensor.name: tensor
        for tensor in quantized.graph.initializer
        if _is_large_table(tensor, read_by.get(tensor.name, []))
    }
    nodes = [
        new
        for node in quantized.graph.node
        for new in (_look_up(node) if node.input and node.input[0] in tables else [node])
    ]
    constants = [constant for table in tables.values() for constant in _int8_table(table)]
    replace_nodes(quantized, nodes, constants)
    return quantized


def _is_large_table(tensor: onnx.TensorProto, nodes: list[onnx.NodeProto]) -> bool:
    """Return True for a large float matrix whose readers only look up rows (Gather, axis 0).

    Args:
        tensor: the constant.
        nodes: the nodes that read it.
    """
    if tensor.data_type != onnx.TensorProto.FLOAT or len(tensor.dims) != 2:
        return False
    by_row = all(
        node.op_type == "Gather"
        and node.input[0] == tensor.name
        and attributes(node).get("axis", 0) == 0
        for node in nodes
    )
    return bool(nodes) and by_row and int(np.prod(tensor.dims)) >= SMALLEST_TABLE


def _int8_table(tensor: onnx.TensorProto) -> Iterator[onnx.TensorProto]:
    integers, scales = round_symmetric(numpy_helper.to_array(tensor), (1,))
    yield numpy_helper.from_array(integers.astype(np.int8), f"{tensor.name}_int8")
    yield numpy_helper.from_array(scales, f"{tensor.name}_scales")


def _look_up(node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    table, rows = node.input
    p = f"{PREFIX}{node.name}/"
    make = helper.make_node
    yield make("Gather", [f"{table}_int8", rows], [p + "integers"], p + "integers")
    yield make("Gather", [f"{table}_scales", rows], [p + "scales"], p + "scales")
    yield make("Cast", [p + "integers"], [p + "float"], p + "cast", to=onnx.TensorProto.FLOAT)
    yield make("Mul", [p + "float", p + "scales"], node.output, p + "scale")

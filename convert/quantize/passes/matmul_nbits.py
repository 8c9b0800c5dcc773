"""Products with weights in 8 bits, a scale for every few values: onnxruntime's MatMulNBits.

The other factor is quantized at each run, a row's block at a time, so outliers spoil only their own
block and a row does not depend on its companions. It keeps transformers (MiniLM: cosine 0.999)
that one range per tensor does not (static 0.90, dynamic 0.99), in between their speeds.
"""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from convert.export.graph.surgery import VENDOR, initializers, replace_nodes
from convert.quantize.layers import round_symmetric

# values that share a scale. Of 128, rows of a batch differed from rows alone by 5e-3 in
# onnxruntime 1.31; of 32 it is a fifth slower
BLOCK = 64
BITS = 8
ZERO = 1 << (BITS - 1)  # the operator's own zero point where none is given
INTEGER_PRODUCTS = 4  # accuracy_level: the other factor in 8 bits too
ONNXRUNTIME_MINIMUM = "1.22.0"  # the first with 8 bits of it on x86


def quantize_products(model: onnx.ModelProto, excluded: frozenset[str]) -> onnx.ModelProto:
    """Replace each MatMul of an activation and a float weight.

    Args:
        model: any graph.
        excluded: names of nodes that stay.
    """
    quantized = onnx.ModelProto()
    quantized.CopyFrom(model)
    weights = {name: array for name, array in initializers(model).items() if array.ndim == 2}
    packed: dict[str, tuple[onnx.TensorProto, onnx.TensorProto]] = {}
    nodes = []
    for node in quantized.graph.node:
        weight = weights.get(node.input[1]) if node.op_type == "MatMul" else None
        if weight is None or weight.dtype != np.float32 or node.name in excluded:
            nodes.append(node)
            continue
        packed[node.input[1]] = _packed(node.input[1], weight)
        nodes.append(_product(node, weight))
    replace_nodes(quantized, nodes, [tensor for pair in packed.values() for tensor in pair])
    return quantized


def _packed(name: str, weight: NDArray[np.float32]) -> tuple[onnx.TensorProto, onnx.TensorProto]:
    """(K, N) weights as (N, blocks, BLOCK) uint8 and (N, blocks) scales."""
    depth, width = weight.shape
    filled = np.pad(weight, ((0, -depth % BLOCK), (0, 0)))
    blocks = filled.T.reshape(width, -1, BLOCK)
    integers, scales = round_symmetric(blocks, (2,))
    return (
        numpy_helper.from_array((integers + ZERO).astype(np.uint8), f"{name}_blocks"),
        numpy_helper.from_array(scales[:, :, 0], f"{name}_scales"),
    )


def _product(node: onnx.NodeProto, weight: NDArray[np.float32]) -> onnx.NodeProto:
    source, name = node.input
    return helper.make_node(
        "MatMulNBits",
        [source, f"{name}_blocks", f"{name}_scales"],
        node.output,
        node.name,
        domain=VENDOR,
        K=weight.shape[0],
        N=weight.shape[1],
        bits=BITS,
        block_size=BLOCK,
        accuracy_level=INTEGER_PRODUCTS,
    )

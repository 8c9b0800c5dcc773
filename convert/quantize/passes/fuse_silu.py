"""SiLU, x * sigmoid(x): a narrower range for x, and one float operator for the two nodes.

The range of x begins at SILU_FLOOR. Networks push unwanted values far below zero, and a range down
to there leaves few steps for the values that count: YOLOv8's first layers answer from -130 to 125,
but SiLU maps -8 to nearly zero, just as -130.

SiLU itself stays in float, where onnxruntime has one operator for it. In integers the sigmoid and
the product take longer, with the conversions to float and back (YOLOv8n: 1.1 times the time of the
whole network), and round a second time.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import onnx
from onnx import helper

from convert.export.graph.surgery import VENDOR, readers, replace_nodes

SILU_FLOOR = -8.0  # SiLU is -0.0027 here, and closer to zero for smaller values
PATTERN = Counter(["Sigmoid", "Mul"])


@dataclass(frozen=True, slots=True)
class Silu:
    """The two nodes of a SiLU: they alone read its input."""

    sigmoid: onnx.NodeProto
    product: onnx.NodeProto

    @property
    def input(self) -> str:
        """Return the name of x."""
        return self.sigmoid.input[0]


def find_silu(model: onnx.ModelProto) -> Iterator[Silu]:
    """Yield every x * sigmoid(x) where no other node reads x or the sigmoid."""
    read_by = readers(model)
    for node in model.graph.node:
        if node.op_type != "Sigmoid":
            continue
        input_readers = read_by[node.input[0]]
        output_readers = read_by.get(node.output[0], [])
        is_pattern = Counter(reader.op_type for reader in input_readers) == PATTERN
        if not is_pattern or len(output_readers) != 1:
            continue
        (product,) = (reader for reader in input_readers if reader.op_type == "Mul")
        if set(product.input) == {node.input[0], node.output[0]}:
            yield Silu(node, product)


def silu_nodes(model: onnx.ModelProto) -> frozenset[str]:
    """Return the names of the nodes of every SiLU; they stay in float."""
    return frozenset(
        name for silu in find_silu(model) for name in (silu.sigmoid.name, silu.product.name)
    )


def clip_silu_ranges(
    model: onnx.ModelProto, ranges: Mapping[str, tuple[float, float]]
) -> dict[str, tuple[float, float]]:
    """Return the ranges with a minimum of SILU_FLOOR or more for the input of every SiLU.

    Args:
        model: the graph.
        ranges: minimum and maximum by tensor name.
    """
    clipped = dict(ranges)
    for silu in find_silu(model):
        if silu.input in clipped:
            low, high = clipped[silu.input]
            clipped[silu.input] = (max(low, SILU_FLOOR), high)
    return clipped


def fuse_silu(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace the two nodes of every SiLU by one QuickGelu; in place."""
    matches = list(find_silu(model))
    if not matches:
        return model
    removed = {silu.sigmoid.name for silu in matches}
    fused = {silu.product.name: _fuse(silu) for silu in matches}
    kept_nodes = [node for node in model.graph.node if node.name not in removed]
    replace_nodes(model, [fused.get(node.name, node) for node in kept_nodes])
    return model


def _fuse(silu: Silu) -> onnx.NodeProto:
    """Return x * sigmoid(alpha x) with alpha = 1."""
    product = silu.product
    return helper.make_node(
        "QuickGelu", [silu.input], product.output, product.name, domain=VENDOR, alpha=1.0
    )

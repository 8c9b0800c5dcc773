"""Groups of nodes that the search moves to float and back: a layer and the activations after it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import onnx
from numpy.typing import NDArray

from convert.export.graph.surgery import initializers
from convert.export.numerics import PREFIX
from convert.quantize.layers import WEIGHTED, output_axis
from convert.quantize.shapes import tensor_sizes
from runtime.engine.session import Feeds

SMALL_WORK = 0.003  # share of the network's multiplications
TAIL_VALUES = 0.02  # share of the values that the network writes


@dataclass(frozen=True, slots=True)
class LayerGroup:
    """A layer with the activations that follow it: they move to float together.

    A layer in float between two integer ones still reads and writes rounded values, because the
    tensors on both of its sides stay quantized.
    """

    nodes: tuple[str, ...]  # the layer first
    work: float  # share of the network's multiplications, in [0, 1]
    size: float  # share of the network's weights, in [0, 1]


def layer_groups(model: onnx.ModelProto, feeds: Feeds) -> tuple[LayerGroup, ...]:
    """Partition the nodes of a network into groups, in graph order.

    Every node that multiplies by weights begins a group. Any other node belongs to the latest group
    among those of its inputs; nodes that depend on no layer belong to none.

    Args:
        model: float graph, with numerics under PREFIX.
        feeds: one sample; its shapes decide how much work a layer is.
    """
    constants = initializers(model)
    sizes = tensor_sizes(model, feeds)
    groups: list[list[str]] = []
    multiplications: list[float] = []
    weight_counts: list[int] = []
    group_of: dict[str, int] = {}  # index of the group that computes a tensor
    for node in model.graph.node:
        if node.name.startswith(PREFIX):
            continue
        matrices = [constants[name] for name in node.input if name in constants]
        if node.op_type in WEIGHTED and matrices:
            groups.append([])
            index = len(groups) - 1
            output_size = sizes.get(node.output[0], 1)
            multiplications.append(_multiplications(node, matrices[0], output_size))
            weight_counts.append(matrices[0].size)
        else:
            index = max((group_of[name] for name in node.input if name in group_of), default=-1)
        if index < 0:
            continue
        groups[index].append(node.name)
        group_of.update(dict.fromkeys(node.output, index))
    all_work, all_weights = sum(multiplications) or 1.0, sum(weight_counts)
    return tuple(
        LayerGroup(tuple(nodes), work / all_work, weights / all_weights)
        for nodes, work, weights in zip(groups, multiplications, weight_counts, strict=True)
    )


def small_tail(
    groups: Sequence[LayerGroup], model: onnx.ModelProto, feeds: Feeds
) -> frozenset[str]:
    """Return the nodes of the last layers, if in integer they lose accuracy and save no time.

    They are the groups behind the last one of SMALL_WORK or more, as the gait student's layers
    after its joints: 13 of 23 layers and 0.3 % of the work. Empty where they write more than
    TAIL_VALUES of the values of the network, because float values take four times the memory.

    Args:
        groups: of the model, in graph order.
        model: float graph.
        feeds: one sample; its shapes decide how large tensors are.
    """
    large = [index for index, group in enumerate(groups) if group.work >= SMALL_WORK]
    names = {name for group in groups[max(large, default=-1) + 1 :] for name in group.nodes}
    sizes = tensor_sizes(model, feeds)
    written = {
        node.name: sum(sizes.get(name, 1) for name in node.output) for node in model.graph.node
    }
    share = sum(written[name] for name in names) / max(sum(written.values()), 1)
    return frozenset(names) if share <= TAIL_VALUES else frozenset()


def small_head(groups: Sequence[LayerGroup]) -> frozenset[str]:
    """Return the nodes of the layers before the first one of SMALL_WORK or more.

    In a transformer what follows them computes in float, so that they gain nothing in integer: the
    first convolution of wav2vec2 has one input channel, a thousandth of the work and the largest
    output. It rounds the waveform to 8 bits, takes longer than in float, and its output is
    transposed and converted.

    Args:
        groups: of the model, in graph order.
    """
    large = next((i for i, group in enumerate(groups) if group.work >= SMALL_WORK), 0)
    return frozenset(name for group in groups[:large] for name in group.nodes)


def _multiplications(node: onnx.NodeProto, weights: NDArray[Any], output_size: int) -> float:
    """Return the multiplications of a layer: each output value sums over its channel's weights."""
    return output_size * weights.size / weights.shape[output_axis(node, weights.ndim)]


def nodes_after_last_layer(model: onnx.ModelProto) -> Iterator[str]:
    """Yield the nodes after which there is no layer: they compute the answer, at little cost."""
    constants = initializers(model).keys()
    read_before_a_layer: set[str] = set()
    for node in reversed(model.graph.node):
        leads_to_layer = any(name in read_before_a_layer for name in node.output)
        is_layer = node.op_type in WEIGHTED and any(name in constants for name in node.input)
        if is_layer or leads_to_layer:
            read_before_a_layer.update(node.input)
        if not is_layer and not leads_to_layer:
            yield node.name

"""Channels in the numbers that onnxruntime's integer convolutions are fast at.

On x86 they read four channels and write eight at a time, sixteen at least. Any other number goes a
way that first copies what each output reads: U-2-Net's largest map, of one channel, took a quarter
of the network's time so. Channels of zeros are added here, and taken away again where others read:
what the network answers does not change.

Source: the conditions of MlasConvSymPackWSize in onnxruntime 1.31.
"""

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from convert.export.graph.surgery import initializers, readers, replace_nodes
from convert.export.numerics import PREFIX
from convert.export.numerics.image import SCALE, SHIFT, along_row
from convert.quantize.layers import attributes

READ_AT_ONCE = 4
WRITTEN_AT_ONCE, LEAST_WRITTEN = 8, 16
CLIPPING = ("Relu", "Clip")  # part of the convolution before them, once quantized
# smaller maps gain nothing, and taking channels away is one more operator
LEAST_POSITIONS = 1024
KEPT = "/kept"  # ends the name of what takes added channels away


def with_fast_channels(model: onnx.ModelProto, sizes: Mapping[str, int]) -> onnx.ModelProto:
    """The same function, to be quantized.

    Args:
        model: float graph with numerics.
        sizes: values in each tensor of one sample.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    del changed.graph.value_info[:]  # of other numbers of channels
    _fill_image(changed)
    _fill_outputs(changed, sizes)
    return changed


def of_kept(
    model: onnx.ModelProto, ranges: Mapping[str, tuple[float, float]]
) -> dict[str, tuple[float, float]]:
    """Ranges in which a filled tensor has that of its own channels.

    What takes the others away passes its input's range on, and zeros are of any range.
    """
    own = {
        node.input[0]: ranges[node.output[0]]
        for node in model.graph.node
        if node.name.endswith(KEPT) and node.output[0] in ranges
    }
    return {**ranges, **own}


def _fill_image(model: onnx.ModelProto) -> None:
    """Let the scaling of pixels write a multiple of READ_AT_ONCE channels, where it alone decides.

    A product with a matrix is the cheapest way to another channel: Pad goes value by value.
    """
    nodes = {node.name: node for node in model.graph.node}
    weights = initializers(model)
    scaling = nodes.get(PREFIX + SCALE)
    turning = nodes.get(PREFIX + "transpose")
    if scaling is None or turning is None or weights[scaling.input[1]].ndim != 2:
        return
    scale = weights[scaling.input[1]][0]
    count = len(scale)
    read_by = readers(model)
    layers = read_by.get(turning.output[0], [])
    if count % READ_AT_ONCE == 0 or not all(_is_own(node, weights, read_by) for node in layers):
        return
    added = -count % READ_AT_ONCE
    matrix = np.pad(np.diag(scale), ((0, 0), (0, added)))
    scaling.CopyFrom(helper.make_node("MatMul", scaling.input, scaling.output, scaling.name))
    _put(model, scaling.input[1], matrix)
    shifting = nodes.get(PREFIX + SHIFT)
    if shifting is not None:
        shift = np.pad(weights[shifting.input[1]][0], (0, added))
        width = len(weights[shifting.input[1]])
        _put(model, shifting.input[1], along_row(shift, width))
    for name in (node.input[1] for node in layers):
        _put(model, name, np.pad(weights[name], ((0, 0), (0, added), (0, 0), (0, 0))))


def _fill_outputs(model: onnx.ModelProto, sizes: Mapping[str, int]) -> None:
    """Let convolutions of large maps write whole groups of channels."""
    weights, read_by = initializers(model), readers(model)
    nodes: list[onnx.NodeProto] = []
    constants: dict[str, onnx.TensorProto] = {}
    ends: dict[str, tuple[str, int]] = {}  # last node of a layer that is filled
    for node in model.graph.node:
        nodes.append(node)
        if _is_own(node, weights, read_by):
            kernel = weights[node.input[1]]
            count = len(kernel)
            fills = kernel.shape[1] % READ_AT_ONCE == 0  # else the fast way is closed to it anyway
            filled = max(LEAST_WRITTEN, count + -count % WRITTEN_AT_ONCE) if fills else count
            if filled > count and sizes.get(node.output[0], 0) // count >= LEAST_POSITIONS:
                for name in node.input[1:]:
                    rest = [(0, 0)] * (weights[name].ndim - 1)
                    _put(model, name, np.pad(weights[name], [(0, filled - count), *rest]))
                after = read_by.get(node.output[0], [])
                clips = len(after) == 1 and after[0].op_type in CLIPPING
                ends[after[0].name if clips else node.name] = (node.name, count)
        if node.name in ends:
            layer, count = ends[node.name]
            nodes.append(_kept(node, f"{layer}{KEPT}", count, constants))
    replace_nodes(model, nodes, list(constants.values()))


def _kept(
    node: onnx.NodeProto, name: str, count: int, constants: dict[str, onnx.TensorProto]
) -> onnx.NodeProto:
    """What takes the first channels of a node's output, under that output's name."""
    (output,) = node.output
    node.output[0] = f"{output}/filled"
    ends = {"channels/0": 0, "channels/1": 1, f"channels/to_{count}": count}
    for each, value in ends.items():
        constants[each] = numpy_helper.from_array(np.array([value], np.int64), each)
    first, axis, last = ends
    return helper.make_node("Slice", [node.output[0], first, last, axis], [output], name)


def _is_own(
    node: onnx.NodeProto,
    weights: Mapping[str, NDArray[np.float32]],
    read_by: Mapping[str, list[onnx.NodeProto]],
) -> bool:
    """A convolution of maps, of one group, whose weights are constants that none else reads."""
    if node.op_type != "Conv" or node.name.startswith(PREFIX):
        return False
    groups = attributes(node).get("group", 1)
    own = all(name in weights and len(read_by[name]) == 1 for name in node.input[1:])
    return groups == 1 and own and weights[node.input[1]].ndim == 4


def _put(model: onnx.ModelProto, name: str, array: NDArray[np.float32]) -> None:
    tensor = next(each for each in model.graph.initializer if each.name == name)
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array, np.float32), name))

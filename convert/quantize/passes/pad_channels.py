"""Channel padding: zeros up to the numbers of channels at which integer convolutions are fast.

On x86 onnxruntime's integer convolutions read four channels and write eight at a time, at least
sixteen. Any other number takes a path that first copies the input of each output value: U-2-Net's
largest map, of one channel, took a quarter of the network's time this way. This pass adds channels
of zeros to the image that convolutions read and to the maps that they write; a Slice after each
convolution removes them again, so the outputs of the network do not change.

Source: the conditions of MlasConvSymPackWSize in onnxruntime 1.31.
"""

from collections.abc import Mapping
from copy import deepcopy

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from convert.export.graph.surgery import initializers, readers, replace_nodes
from convert.export.numerics import PREFIX
from convert.export.numerics.image import SCALE, SHIFT, along_row
from convert.quantize.layers import attributes, set_values

INPUT_MULTIPLE = 4  # channels that the integer convolution reads at a time
OUTPUT_MULTIPLE, MIN_OUTPUTS = 8, 16  # channels that it writes at a time, and at least
CLIPPING = ("Relu", "Clip")  # onnxruntime fuses these into the integer convolution before them
# height x width of a map; smaller ones gain nothing, and removing channels costs one more operator
MIN_POSITIONS = 1024
UNPAD_SUFFIX = "/kept"  # ends the name of a node that removes padded channels


def pad_channels(model: onnx.ModelProto, sizes: Mapping[str, int]) -> onnx.ModelProto:
    """Return a copy of the model with padded convolutions; its outputs stay the same.

    Args:
        model: float graph with numerics. Nodes under PREFIX, convolutions in groups and those that
            share weights are not padded.
        sizes: number of values in each tensor, for one sample.
    """
    padded = deepcopy(model)
    del padded.graph.value_info[:]  # of the old numbers of channels
    _pad_image(padded)
    _pad_outputs(padded, sizes)
    return padded


def unpadded_ranges(
    model: onnx.ModelProto, ranges: Mapping[str, tuple[float, float]]
) -> dict[str, tuple[float, float]]:
    """Return all ranges; a padded tensor gets the range that it has without the padded channels.

    That is the range of the output of its Slice. onnxruntime's quantizer gives both tensors the
    same one, and the zeros of the padded channels fit into any range.
    """
    own = {
        node.input[0]: ranges[node.output[0]]
        for node in model.graph.node
        if node.name.endswith(UNPAD_SUFFIX) and node.output[0] in ranges
    }
    return {**ranges, **own}


def _pad_image(model: onnx.ModelProto) -> None:
    """Make the scaling of pixels write a multiple of INPUT_MULTIPLE channels; in place.

    The scaling becomes a product with a matrix, the fastest way to more channels: Pad copies single
    values. Nothing changes if other nodes than convolutions that can be padded read the image.
    """
    nodes = {node.name: node for node in model.graph.node}
    constants = initializers(model)
    scaling = nodes.get(PREFIX + SCALE)
    transposition = nodes.get(PREFIX + "transpose")
    if scaling is None or transposition is None or constants[scaling.input[1]].ndim != 2:
        return
    scale = constants[scaling.input[1]][0]
    count = len(scale)
    read_by = readers(model)
    layers = read_by.get(transposition.output[0], [])
    can_pad = all(_is_paddable(node, constants, read_by) for node in layers)
    if count % INPUT_MULTIPLE == 0 or not can_pad:
        return
    added = -count % INPUT_MULTIPLE
    matrix = np.pad(np.diag(scale), ((0, 0), (0, added)))
    scaling.CopyFrom(helper.make_node("MatMul", scaling.input, scaling.output, scaling.name))
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    set_values(tensors[scaling.input[1]], matrix)
    shifting = nodes.get(PREFIX + SHIFT)
    if shifting is not None:
        shift = np.pad(constants[shifting.input[1]][0], (0, added))
        width = len(constants[shifting.input[1]])
        set_values(tensors[shifting.input[1]], along_row(shift, width))
    for name in (node.input[1] for node in layers):
        set_values(tensors[name], np.pad(constants[name], ((0, 0), (0, added), (0, 0), (0, 0))))


def _pad_outputs(model: onnx.ModelProto, sizes: Mapping[str, int]) -> None:
    """Make convolutions with MIN_POSITIONS or more write `_padded_count` channels; in place.

    A Slice follows each, behind the one Relu or Clip that onnxruntime fuses into it.
    """
    constants, read_by = initializers(model), readers(model)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    slice_bounds: dict[str, onnx.TensorProto] = {}
    slice_after: dict[str, tuple[str, int]] = {}  # by node: name and channels of its convolution
    for node in model.graph.node:
        nodes.append(node)
        if _is_paddable(node, constants, read_by):
            kernel = constants[node.input[1]]
            count = len(kernel)
            padded = _padded_count(kernel)
            if padded > count and sizes.get(node.output[0], 0) // count >= MIN_POSITIONS:
                for name in node.input[1:]:
                    others = [(0, 0)] * (constants[name].ndim - 1)
                    values = np.pad(constants[name], [(0, padded - count), *others])
                    set_values(tensors[name], values)
                followers = read_by.get(node.output[0], [])
                clips = len(followers) == 1 and followers[0].op_type in CLIPPING
                slice_after[followers[0].name if clips else node.name] = (node.name, count)
        if node.name in slice_after:
            layer, count = slice_after[node.name]
            nodes.append(_unpad(node, f"{layer}{UNPAD_SUFFIX}", count, slice_bounds))
    replace_nodes(model, nodes, list(slice_bounds.values()))


def _padded_count(kernel: NDArray[np.float32]) -> int:
    """Return the number of output channels at which a convolution is fast.

    Return its present number if its input channels are no multiple of INPUT_MULTIPLE: more output
    channels would not make it fast.

    Args:
        kernel: weights, (output channels, input channels, height, width).
    """
    count = len(kernel)
    if kernel.shape[1] % INPUT_MULTIPLE:
        return count
    return max(MIN_OUTPUTS, count + -count % OUTPUT_MULTIPLE)


def _unpad(
    node: onnx.NodeProto, name: str, count: int, bounds: dict[str, onnx.TensorProto]
) -> onnx.NodeProto:
    """Rename a node's output, in place, and return a Slice that writes it under the old name.

    Args:
        node: a node with padded channels.
        name: name of the Slice.
        count: number of channels to keep, the first ones.
        bounds: the constants of the Slice are added to it, by name.
    """
    (output,) = node.output
    node.output[0] = f"{output}/filled"
    values = {"channels/0": 0, "channels/1": 1, f"channels/to_{count}": count}
    for constant, value in values.items():
        bounds[constant] = numpy_helper.from_array(np.array([value], np.int64), constant)
    start, axis, end = values
    return helper.make_node("Slice", [node.output[0], start, end, axis], [output], name)


def _is_paddable(
    node: onnx.NodeProto,
    constants: Mapping[str, NDArray[np.float32]],
    read_by: Mapping[str, list[onnx.NodeProto]],
) -> bool:
    """Return True for a 2-D convolution of one group whose constant weights only it reads."""
    if node.op_type != "Conv" or node.name.startswith(PREFIX):
        return False
    groups = attributes(node).get("group", 1)
    own = all(name in constants and len(read_by[name]) == 1 for name in node.input[1:])
    return groups == 1 and own and constants[node.input[1]].ndim == 4

"""Pixels as they are: the first convolution reads the bytes of the image, several pixels at once.

Where a network takes pixels times one factor, that factor can be the scale of the integers that the
first convolution reads: the image is that tensor already. Its conversion to float, the product and
the rounding back fall away. With three channels the convolution would be slow, and to copy pixels
to four costs as much as was saved. So FOLD neighbours in a row become the channels of one pixel,
which moves no byte, and the convolution writes the answers of FOLD / stride columns as channels,
which moves none either. Its kernel is zero where a column does not reach; the sums are the same
integers. YOLOv8n at 640 px: 0.6 ms for 2.2 of 22.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from convert.export.graph.surgery import initializers, prune, readers, replace_field, replace_nodes
from convert.export.numerics import PREFIX
from convert.export.numerics.image import SCALE
from convert.quantize.layers import attributes
from convert.quantize.saturation.layers import in_product_order, may_saturate

Array = NDArray[Any]
FOLD = 4  # pixels of a row that become one: a multiple of four channels, however many they have
STRIDES = (2, 4)  # with a stride of 1 the zeros of the kernel cost more than is saved
LEVELS = 255
TOLERANCE = 1e-6  # of the scale, relative to the factor: float32 rounds both
SUFFIX = "/folded"  # ends the names of what the pass adds
CLIPPING = ("Relu", "Clip")  # between the convolution and the rounding of its answer


def pixel_ranges(
    model: onnx.ModelProto, ranges: Mapping[str, tuple[float, float]]
) -> dict[str, tuple[float, float]]:
    """Return all ranges; pixels times one factor get that of all levels: one level is one step.

    Args:
        model: float graph with numerics.
        ranges: minimum and maximum by tensor name.
    """
    factor, planes = _factor(model), _planes(model)
    if factor is None or planes not in ranges:
        return dict(ranges)
    return {**ranges, planes: (0.0, LEVELS * factor)}


def fold_pixels(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with a first convolution that reads the image; its answers stay the same.

    The model itself is returned unless an integer convolution alone reads pixels times one factor,
    with one step for each level, and FOLD fits its stride and the width of the image. It also stays
    where folding makes neighbours of weights whose products saturate together without VNNI, if none
    did before: weights of 7 bits fit only the neighbours that they were rounded for.

    Args:
        model: quantized graph with numerics; its first convolution changes in place.
    """
    layer = _find_layer(model)
    if layer is None:
        return model
    kernel, first = _folded_kernel(layer)
    if _saturates(layer, kernel) and not _saturates(layer, layer.stored_kernel):
        return model
    _write_weights(model, layer, kernel, first)
    image = model.graph.input[0].name
    pixels, planes = f"{image}{SUFFIX}", f"{image}{SUFFIX}_planes"
    read, answer = f"{layer.node.name}{SUFFIX}", layer.quantize.output[0]
    wide, rows, columns = (f"{answer}{SUFFIX}{end}" for end in ("", "_rows", "_columns"))
    make = helper.make_node
    nodes = [
        make("Reshape", [image, f"{pixels}.1"], [pixels], pixels),
        make("Transpose", [pixels], [planes], planes, perm=[0, 3, 1, 2]),
        make("DequantizeLinear", [planes, *layer.dequantize.input[1:]], [read], read),
        make("Transpose", [wide], [rows], rows, perm=[0, 2, 3, 1]),
        make("Reshape", [rows, f"{rows}.1"], [columns], columns),
        make("Transpose", [columns], [answer], f"{wide}_planes", perm=[0, 3, 1, 2]),
    ]
    height, width, channels = layer.image
    shapes = {
        f"{pixels}.1": [0, height, width // FOLD, FOLD * channels],
        f"{rows}.1": [0, layer.height, layer.width, layer.kernel.shape[0]],
    }
    layer.node.input[0], layer.quantize.output[0] = read, wide
    constants = [numpy_helper.from_array(np.array(v, np.int64), k) for k, v in shapes.items()]
    replace_nodes(model, [*model.graph.node, *nodes], constants)
    return prune(model, [output.name for output in model.graph.output])


@dataclass(frozen=True, slots=True)
class _Layer:
    """The convolution that reads the pixels, between its two roundings."""

    node: onnx.NodeProto
    dequantize: onnx.NodeProto  # of what it reads
    quantize: onnx.NodeProto  # of its answer
    constants: tuple[onnx.NodeProto, ...]  # they dequantize its weights and its bias
    stored_kernel: Array  # int8, (O, C or more, kernel height, kernel width)
    image: tuple[int, int, int]  # height, width and channels
    height: int  # of its answer
    width: int  # of its answer

    @property
    def kernel(self) -> Array:
        """Return the kernel without padded channels, (O, C, kernel height, kernel width)."""
        return self.stored_kernel[:, : self.image[2]]

    @property
    def stride(self) -> int:
        """Return px of the image from one column of the answer to the next."""
        return self.image[1] // self.width


def _folded_kernel(layer: _Layer) -> tuple[Array, int]:
    """Return the kernel for folded pixels, and the first of them that it reads, from 0 or below.

    The kernel is int8, (FOLD / stride * O, FOLD * C, kernel height, folded pixels).
    """
    out, channels, tall, wide = layer.kernel.shape
    columns = FOLD // layer.stride
    left = attributes(layer.node)["pads"][1]
    reach = layer.stride * np.arange(columns)[:, None] - left + np.arange(wide)  # px of the image
    blocks, pixels = np.divmod(reach, FOLD)
    first, count = int(blocks.min()), int(blocks.max() - blocks.min() + 1)
    folded = np.zeros((columns, out, FOLD, channels, tall, count), np.int8)
    for (column, tap), pixel in np.ndenumerate(pixels):
        folded[column, :, pixel, :, :, blocks[column, tap] - first] = layer.kernel[..., tap]
    return folded.reshape(columns * out, FOLD * channels, tall, count), first


def _saturates(layer: _Layer, kernel: Array) -> bool:
    """Return True if pairs of products with a kernel may saturate on CPUs without VNNI."""
    groups = in_product_order(layer.node, kernel)
    return groups is not None and any(may_saturate(group) for group in groups)


def _write_weights(model: onnx.ModelProto, layer: _Layer, kernel: Array, first: int) -> None:
    """Write the folded kernel, repeat scales and biases for each column, and set the attributes."""
    tall, count = kernel.shape[2:]
    top, _, bottom, _ = attributes(layer.node)["pads"]
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in layer.constants:
        for name in node.input:
            values = numpy_helper.to_array(tensors[name])
            is_kernel = values.ndim == kernel.ndim
            repeated = kernel if is_kernel else np.tile(values, FOLD // layer.stride)
            tensors[name].CopyFrom(numpy_helper.from_array(repeated, name))
    changes = {
        "kernel_shape": [tall, count],
        "strides": [attributes(layer.node)["strides"][0], 1],
        "pads": [top, -first, bottom, first + count - 1],
    }
    others = [item for item in layer.node.attribute if item.name not in changes]
    replace_field(layer.node.attribute, others)
    layer.node.attribute.extend(helper.make_attribute(k, v) for k, v in changes.items())


def _find_layer(model: onnx.ModelProto) -> _Layer | None:
    """Return the convolution that can read the image; None where there is none."""
    factor, read_by, constants = _factor(model), readers(model), initializers(model)
    quantize = _only_reader(_planes(model), "QuantizeLinear", read_by)
    dequantize = _only_reader(_output(quantize), "DequantizeLinear", read_by)
    node = _only_reader(_output(dequantize), "Conv", read_by)
    rounding = _rounding(node, read_by)
    if factor is None or dequantize is None or node is None or rounding is None:
        return None
    step, zero = (constants[name] for name in dequantize.input[1:])
    is_pixel = abs(float(step) - factor) <= TOLERANCE * factor and not zero.any()
    producers = {name: node for node in model.graph.node for name in node.output}
    sources = tuple(producers[name] for name in node.input[1:] if name in producers)
    is_integer = len(sources) == len(node.input) - 1 and all(
        name in constants and len(read_by[name]) == 1 for node in sources for name in node.input
    )
    image = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim][1:]
    if not is_pixel or not is_integer or not _fits(node, image[1]):
        return None
    kernel = constants[sources[0].input[0]]
    columns, rows = (_answers(node, image[axis], kernel, axis) for axis in (1, 0))
    if columns * attributes(node)["strides"][1] != image[1]:
        return None
    size = image[0], image[1], image[2]
    return _Layer(node, dequantize, rounding, sources, kernel, size, rows, columns)


def _rounding(
    layer: onnx.NodeProto | None, read_by: Mapping[str, list[onnx.NodeProto]]
) -> onnx.NodeProto | None:
    """Return the QuantizeLinear of a layer's answer, behind a clipping at most."""
    followers = read_by.get(_output(layer), [])
    if len(followers) == 1 and followers[0].op_type in CLIPPING:
        return _only_reader(followers[0].output[0], "QuantizeLinear", read_by)
    return _only_reader(_output(layer), "QuantizeLinear", read_by)


def _fits(node: onnx.NodeProto, width: int) -> bool:
    """Return True if folds divide the width, and the columns of the convolution's answer."""
    options = attributes(node)
    return (
        options.get("group", 1) == 1
        and set(options.get("dilations", [1])) == {1}
        and options.get("strides", [1, 1])[1] in STRIDES
        and "pads" in options
        and width % FOLD == 0
    )


def _answers(node: onnx.NodeProto, size: int, kernel: Array, axis: int) -> int:
    """Return the rows (axis 0) or columns (axis 1) of a convolution's answer."""
    options = attributes(node)
    padded = size + options["pads"][axis] + options["pads"][axis + 2]
    rows: int = (padded - kernel.shape[2 + axis]) // options["strides"][axis] + 1
    return rows


def _factor(model: onnx.ModelProto) -> float | None:
    """Return the factor of all pixels, if they are scaled by one alone."""
    nodes = {node.name: node for node in model.graph.node}
    cast, scaling, planes = (nodes.get(PREFIX + name) for name in ("cast", SCALE, "transpose"))
    if cast is None or scaling is None or planes is None:
        return None
    if scaling.input[0] != cast.output[0] or planes.input[0] != scaling.output[0]:
        return None
    values = initializers(model)[scaling.input[1]]
    factor = float(values.flat[0])
    matrix = np.eye(*values.shape) if scaling.op_type == "MatMul" else np.ones_like(values)
    return factor if np.array_equal(values, matrix.astype(np.float32) * values.flat[0]) else None


def _planes(model: onnx.ModelProto) -> str:
    """Return the name of the scaled pixels as (N, C, H, W); empty if there are none."""
    names = (node.output[0] for node in model.graph.node if node.name == f"{PREFIX}transpose")
    return next(names, "")


def _output(node: onnx.NodeProto | None) -> str:
    return "" if node is None else node.output[0]


def _only_reader(
    name: str, op_type: str, read_by: Mapping[str, list[onnx.NodeProto]]
) -> onnx.NodeProto | None:
    """Return the only reader of a tensor if it is of this type."""
    nodes = read_by.get(name, [])
    return nodes[0] if len(nodes) == 1 and nodes[0].op_type == op_type else None

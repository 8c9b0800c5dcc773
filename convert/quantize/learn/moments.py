"""Inputs of a layer as rounded, and its answers in float: means, and how they go together."""

from collections.abc import Sequence

import numpy as np
import onnx

from convert.quantize.layers import Array, attributes
from convert.quantize.learn.pieces import Rounded
from convert.quantize.passes.bias_correction import has_plain_bias

UNSET = b"NOTSET"
HEIGHT, WIDTH = 2, 3  # axes of an image


class Answers:
    """The answers of a float layer on the samples: all in the means, some of them by themselves."""

    def __init__(self, node: onnx.NodeProto, rows: int) -> None:
        """Begin without samples.

        Args:
            node: a layer with an `input_count`.
            rows: output values of a sample and channel that are kept, at most.
        """
        self._node, self._rows = node, rows
        self._sums: Array = np.zeros(1)
        self.samples: list[Array] = []  # (rows, outputs)

    def add(self, y: Array) -> None:
        """Add what the layer answers on the next sample."""
        if self._node.op_type == "Conv":
            total = len(y) * y.shape[HEIGHT] * y.shape[WIDTH]
            image, row, column = _places(total, self._rows, len(self.samples), y.shape[HEIGHT:])
            some = y[image, :, row, column]
            self._sums = self._sums + y.mean((0, HEIGHT, WIDTH), dtype=np.float64)
        else:
            rows = y.reshape(-1, y.shape[-1])
            some = rows[_chosen(len(rows), self._rows, len(self.samples))]
            self._sums = self._sums + rows.mean(0, dtype=np.float64)
        self.samples.append(np.ascontiguousarray(some, np.float32))

    @property
    def means(self) -> Array:
        """Return (outputs,)."""
        result: Array = self._sums / len(self.samples)
        return result


class Moments:
    """Means and products of what the weights of a layer multiply, by group of channels.

    An output value of a convolution has as inputs a patch of its group's channels, in the order of
    the weights.
    """

    def __init__(self, node: onnx.NodeProto, kernel: Sequence[int], rows: int) -> None:
        """Begin without samples.

        Args:
            node: a layer with an `input_count`.
            kernel: the shape of its weights.
            rows: as of `Answers`.
        """
        self._node, self._kernel, self._rows = node, kernel, rows
        self._samples = self._count = 0
        self._means: Array = np.zeros(1)
        self._input_shift = self._answer_shift = self._means
        self._sums = self._answer_sums = self._means
        self._products = self._crossed = self._means

    def add(self, x: Rounded, number: int, answers: Array) -> None:
        """Add one sample.

        All output values count in the means of inputs, because the bias has to make up for the mean
        exactly; some count in the products.

        Args:
            x: what the layer reads, as it is rounded.
            number: of the sample, as in `Answers.samples`.
            answers: (rows, outputs), its own of those.
        """
        means = _input_means(self._node, self._kernel, x)
        rows = _input_rows(self._node, self._kernel, x, self._rows, number)
        targets = answers.reshape(len(answers), len(rows), -1).transpose(1, 2, 0)
        if not self._samples:  # sums of values near 0 are exact
            self._input_shift = means[:, None].astype(np.float32)
            self._answer_shift = targets.mean(2, keepdims=True)
        self._samples += 1
        self._means = self._means + means
        rows, targets = rows - self._input_shift, targets - self._answer_shift
        self._count += rows.shape[1]
        self._sums = self._sums + rows.sum(1, dtype=np.float64)
        self._products = self._products + (rows.transpose(0, 2, 1) @ rows).astype(np.float64)
        self._answer_sums = self._answer_sums + targets.sum(2, dtype=np.float64)
        self._crossed = self._crossed + (targets @ rows).astype(np.float64)

    @property
    def means(self) -> Array:
        """Return (groups, inputs)."""
        result: Array = self._means / self._samples
        return result

    def covariances(self, *, is_centred: bool) -> tuple[Array, Array]:
        """Return those of inputs, and of answers with inputs.

        Args:
            is_centred: False: mean products, where no bias makes up for the mean.

        Returns:
            inputs: (groups, inputs, inputs).
            answers: (groups, outputs, inputs).
        """
        inputs, answers = (sums / self._count for sums in (self._sums, self._answer_sums))
        products = self._products / self._count - inputs[:, :, None] * inputs[:, None]
        crossed = self._crossed / self._count - answers[:, :, None] * inputs[:, None]
        if is_centred:
            return products, crossed
        inputs = inputs + self._input_shift[:, 0]
        answers = answers + self._answer_shift[:, :, 0]
        return (
            products + inputs[:, :, None] * inputs[:, None],
            crossed + answers[:, :, None] * inputs[:, None],
        )


def input_count(node: onnx.NodeProto, kernel: Sequence[int]) -> int:
    """Return the number of inputs of an output value; 0 for layers that have no moments.

    Args:
        node: a layer.
        kernel: the shape of its weights.
    """
    options = attributes(node)
    if node.op_type == "Conv" and len(kernel) == 4 and options.get("auto_pad", UNSET) == UNSET:
        return int(np.prod(kernel[1:]))
    if node.op_type == "MatMul" and len(kernel) == 2:
        return kernel[0]
    if node.op_type == "Gemm" and has_plain_bias(node) and not options.get("transA", 0):
        return kernel[1] if options.get("transB", 0) else kernel[0]
    return 0


def _chosen(total: int, count: int, seed: int) -> Array:
    """Return the indices of some output values, the same for inputs and answers of a sample."""
    result: Array = np.random.default_rng(seed).permutation(total)[:count]
    return result


def _places(total: int, count: int, seed: int, shape: Sequence[int]) -> tuple[Array, Array, Array]:
    """Return image, row and column of some output values of a Conv."""
    chosen = np.random.default_rng(seed).integers(0, total, min(count, total))
    image, position = np.divmod(chosen, shape[0] * shape[1])
    row, column = np.divmod(position, shape[1])
    return image, row, column


def _input_rows(
    node: onnx.NodeProto, kernel: Sequence[int], x: Rounded, count: int, seed: int
) -> Array:
    """Return (groups, rows, inputs) of some output values of a layer, in float32."""
    if node.op_type != "Conv":
        rows = x.values.reshape(-1, x.values.shape[-1])
        return _floats(rows[_chosen(len(rows), count, seed)], x)[None]
    values, shape, strides, dilations = _padded(node, kernel, x)
    total = len(values) * shape[0] * shape[1]
    image, row, column = _places(total, count, seed, shape)
    rows = row[:, None] * strides[0] + np.arange(kernel[HEIGHT]) * dilations[0]
    columns = column[:, None] * strides[1] + np.arange(kernel[WIDTH]) * dilations[1]
    patches = values[image[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    groups = attributes(node).get("group", 1)
    by_group = patches.transpose(0, 3, 1, 2).reshape(len(row), groups, -1).transpose(1, 0, 2)
    return np.ascontiguousarray(_floats(by_group, x))


def _floats(values: Array, x: Rounded) -> Array:
    result: Array = (values.astype(np.float32) - np.float32(x.zero_point)) * np.float32(x.scale)
    return result


def _padded(
    node: onnx.NodeProto, kernel: Sequence[int], x: Rounded
) -> tuple[Array, tuple[int, int], Sequence[int], Sequence[int]]:
    """Return the padded input of a Conv, height and width of its output, strides and dilations."""
    options = attributes(node)
    top, left, bottom, right = options.get("pads", [0, 0, 0, 0])
    strides, dilations = (options.get(name, [1, 1]) for name in ("strides", "dilations"))
    sides = ((0, 0), (0, 0), (top, bottom), (left, right))
    values = np.pad(x.values, sides, constant_values=x.zero_point)
    height, width = (
        (values.shape[axis] - (kernel[axis] - 1) * dilations[axis - 2] - 1) // strides[axis - 2] + 1
        for axis in (HEIGHT, WIDTH)
    )
    return values, (height, width), strides, dilations


def _input_means(node: onnx.NodeProto, kernel: Sequence[int], x: Rounded) -> Array:
    """Return (groups, inputs), the means over all output values of one sample."""
    if node.op_type != "Conv":
        means = x.values.reshape(-1, x.values.shape[-1]).mean(0, dtype=np.float64)[None]
        return (means - x.zero_point) * x.scale
    values, (height, width), strides, dilations = _padded(node, kernel, x)
    sums = []
    for top in (row * dilations[0] for row in range(kernel[HEIGHT])):
        by_column = _window_sum(values, HEIGHT, top, height, strides[0])
        sums += [
            _window_sum(by_column, 2, column * dilations[1], width, strides[1]).sum(0)
            for column in range(kernel[WIDTH])
        ]
    means = np.stack(sums, 1) / (len(values) * height * width)
    result: Array = ((means - x.zero_point) * x.scale).reshape(attributes(node).get("group", 1), -1)
    return result


def _window_sum(values: Array, axis: int, start: int, count: int, stride: int) -> Array:
    """Return the sums of some values along an axis, as float64."""
    index = [slice(None)] * values.ndim
    index[axis] = slice(start, start + (count - 1) * stride + 1, stride)
    exact = np.uint32 if values.dtype == np.uint8 else np.float64  # faster for bytes
    result: Array = values[tuple(index)].sum(axis, dtype=exact).astype(np.float64)
    return result

"""The inputs of a layer on the samples: their means, and how they go together."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor
from torch.nn import functional

from convert.quantize.layers import Array, attributes

UNSET = b"NOTSET"


class Moments:
    """Means and covariances of what the weights of a layer multiply, by group of channels.

    An output value of a convolution has as inputs a patch of its group's channels, in the order of
    the weights.
    """

    def __init__(self, node: onnx.NodeProto, kernel: Sequence[int], rows: int) -> None:
        """Begin without samples.

        Args:
            node: a layer with an `input_count`.
            kernel: the shape of its weights.
            rows: output values of a sample, at most.
        """
        self._node, self._kernel, self._rows = node, kernel, rows
        self._samples = self._count = 0
        self._means: Any = 0
        self._sums: Any = 0
        self._products: Any = 0

    def add(self, x: Tensor) -> None:
        """Add one sample; x is what the layer reads.

        All of its output values count in the means, and some in the covariances: the bias has to
        make up for the mean exactly.
        """
        self._samples += 1
        self._means = self._means + _input_means(self._node, self._kernel, x)
        rows = input_rows(self._node, self._kernel, x, self._rows, self._count)
        self._count += rows.shape[1]
        self._sums = self._sums + rows.sum(1)
        self._products = self._products + rows.transpose(1, 2) @ rows

    @property
    def means(self) -> Array:
        """Return (groups, inputs)."""
        result: Array = (self._means / self._samples).numpy().astype(np.float64)
        return result

    @property
    def covariances(self) -> Array:
        """Return (groups, inputs, inputs)."""
        means, products = (
            (total / self._count).numpy().astype(np.float64)
            for total in (self._sums, self._products)
        )
        result: Array = products - means[:, :, None] * means[:, None, :]
        return result


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
    if node.op_type == "Gemm" and not options.get("transA", 0):
        return kernel[1] if options.get("transB", 0) else kernel[0]
    return 0


def input_rows(
    node: onnx.NodeProto, kernel: Sequence[int], x: Tensor, count: int, seed: int
) -> Tensor:
    """Return (groups, rows, inputs) of some output values of a layer.

    Args:
        node: a layer with an `input_count`.
        kernel: the shape of its weights.
        x: what it reads.
        count: rows at most.
        seed: decides which.
    """
    random = np.random.default_rng(seed)
    if node.op_type != "Conv":
        rows = x.reshape(-1, x.shape[-1])
        return rows[torch.from_numpy(random.permutation(len(rows))[:count])][None]
    x, (heights, widths), strides, dilations = _padded(node, kernel, x)
    total = len(x) * heights * widths
    places = torch.from_numpy(random.integers(0, total, min(count, total)))
    image, position = places // (heights * widths), places % (heights * widths)
    rows = (position // widths)[:, None] * strides[0] + torch.arange(kernel[2]) * dilations[0]
    columns = (position % widths)[:, None] * strides[1] + torch.arange(kernel[3]) * dilations[1]
    patches = x[image[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    groups = attributes(node).get("group", 1)
    return patches.permute(0, 3, 1, 2).reshape(len(places), groups, -1).transpose(0, 1)


def _padded(
    node: onnx.NodeProto, kernel: Sequence[int], x: Tensor
) -> tuple[Tensor, tuple[int, int], Sequence[int], Sequence[int]]:
    """Return the padded input of a Conv, height and width of its output, strides and dilations."""
    options = attributes(node)
    pads = options.get("pads", [0, 0, 0, 0])
    strides, dilations = (options.get(name, [1, 1]) for name in ("strides", "dilations"))
    x = functional.pad(x, [pads[1], pads[3], pads[0], pads[2]])
    height, width = (
        (x.shape[axis] - (kernel[axis] - 1) * dilations[axis - 2] - 1) // strides[axis - 2] + 1
        for axis in (2, 3)
    )
    return x, (height, width), strides, dilations


def _input_means(node: onnx.NodeProto, kernel: Sequence[int], x: Tensor) -> Tensor:
    """Return (groups, inputs), the means over all output values of one sample."""
    if node.op_type != "Conv":
        return x.reshape(-1, x.shape[-1]).mean(0)[None]
    x, (height, width), strides, dilations = _padded(node, kernel, x)
    means = [
        x[:, :, top : top + height * strides[0] : strides[0]][
            ..., left : left + width * strides[1] : strides[1]
        ].mean((0, 2, 3))
        for top in (row * dilations[0] for row in range(kernel[2]))
        for left in (column * dilations[1] for column in range(kernel[3]))
    ]
    return torch.stack(means, 1).reshape(attributes(node).get("group", 1), -1)

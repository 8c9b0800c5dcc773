"""The inputs of a layer in two graphs at once: their means, and how they vary together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor
from torch.nn import functional

from convert.quantize.layers import Array, attributes

UNSET = b"NOTSET"


@dataclass(frozen=True, slots=True)
class Moments:
    """Means and covariances of what the weights of a layer multiply, by group of channels.

    An output value of a convolution has as inputs a patch of its group's channels, in the order of
    the weights.
    """

    means: Array  # (groups, inputs) in the float graph
    covariances: Array  # (groups, inputs, inputs) in the quantized graph
    mean_errors: Array  # (groups, inputs) by which the quantized graph's are larger
    # (groups, inputs, inputs) by which the covariances of the float graph's inputs, first, with the
    # quantized graph's are larger than those of the quantized graph's with each other
    lost: Array


class PlainMoments:
    """Means and covariances of a layer's inputs in the float graph, sample by sample."""

    def __init__(self, node: onnx.NodeProto, kernel: Sequence[int], rows: int) -> None:
        """Begin without samples.

        Args:
            node: a layer with an `input_count`.
            kernel: the shape of its weights.
            rows: output values of a sample, at most.
        """
        self._node, self._kernel, self._rows = node, kernel, rows
        self._count = 0
        self._sums: Any = 0
        self._products: Any = 0

    def add(self, x: Tensor) -> None:
        """Add some of the output values of one sample; x is what the layer reads."""
        rows = input_rows(self._node, self._kernel, x, self._rows, self._count)
        self._count += rows.shape[1]
        self._sums = self._sums + rows.sum(1)
        self._products = self._products + rows.transpose(1, 2) @ rows

    @property
    def means(self) -> Array:
        """Return (groups, inputs)."""
        result: Array = (self._sums / self._count).numpy().astype(np.float64)
        return result

    @property
    def covariances(self) -> Array:
        """Return (groups, inputs, inputs)."""
        means = self.means
        products = (self._products / self._count).numpy().astype(np.float64)
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
        seed: decides which; equal for tensors of equal shape.
    """
    random = np.random.default_rng(seed)
    if node.op_type != "Conv":
        rows = x.reshape(-1, x.shape[-1])
        return rows[torch.from_numpy(random.permutation(len(rows))[:count])][None]
    options = attributes(node)
    size, pads = kernel[2:], options.get("pads", [0, 0, 0, 0])
    strides, dilations = (options.get(name, [1, 1]) for name in ("strides", "dilations"))
    x = functional.pad(x, [pads[1], pads[3], pads[0], pads[2]])
    heights, widths = (
        (length - (side - 1) * dilation - 1) // stride + 1
        for length, side, dilation, stride in zip(
            x.shape[2:], size, dilations, strides, strict=True
        )
    )
    total = len(x) * heights * widths
    places = torch.from_numpy(random.integers(0, total, min(count, total)))
    image, position = places // (heights * widths), places % (heights * widths)
    rows = (position // widths)[:, None] * strides[0] + torch.arange(size[0]) * dilations[0]
    columns = (position % widths)[:, None] * strides[1] + torch.arange(size[1]) * dilations[1]
    patches = x[image[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    groups = options.get("group", 1)
    return patches.permute(0, 3, 1, 2).reshape(len(places), groups, -1).transpose(0, 1)


def moments_of(
    plain: PlainMoments, exact_rows: Sequence[Tensor], rounded_rows: Sequence[Tensor]
) -> Moments:
    """Return the moments of a layer.

    The float graph's are those of all samples; errors need fewer, because both graphs have the same
    ones.

    Args:
        plain: of all samples.
        exact_rows: (groups, rows, inputs) of some samples in the float graph.
        rounded_rows: the same rows in the quantized graph.
    """
    exact, rounded = (torch.cat(list(rows), 1) for rows in (exact_rows, rounded_rows))
    mean_errors = (rounded - exact).mean(1)
    exact, rounded = (rows - rows.mean(1, keepdim=True) for rows in (exact, rounded))
    errors = rounded - exact
    noise, lost = (
        (errors.transpose(1, 2) @ rows / rows.shape[1]).numpy().astype(np.float64)
        for rows in (errors, rounded)
    )
    return Moments(
        plain.means,
        plain.covariances + noise,
        mean_errors.numpy().astype(np.float64),
        -lost,
    )

"""A graph with QDQ pairs in torch: its ranges, roundings and biases are parameters.

onnxruntime computes an integer operator between two pairs as the operator in float between two
roundings, up to a step where a value lies between two of them.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from torch import Tensor

from convert.export.graph.surgery import initializers
from convert.export.numerics import PREFIX
from convert.quantize.layers import INT8_MAX, WEIGHTED, Array, attributes
from convert.quantize.learn.errors import UnknownOperatorError
from convert.quantize.learn.fake_quantize import LEVELS, fake_quantize, round_through
from convert.quantize.learn.operators import Inputs
from convert.quantize.learn.torch_graph import Function, TorchGraph, first
from runtime.engine.session import Feeds

SCALE_SUFFIX = "_scale"
INTEGER_SUFFIX = "_quantized"
OUTPUT_SUFFIX = "_QuantizeLinear_Input"  # of a layer whose output is one of the graph
# they only move values: a second rounding with the same scale changes nothing
MOVES = ("Flatten", "MaxPool", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze")
NEAREST = 0.999  # steps by which a rounded weight may differ from the weight: up or down


class Range:
    """The range of a quantizer: its bounds before learning, times e to learned powers."""

    def __init__(self, scale: float, zero_point: int) -> None:
        """Take the range of a QuantizeLinear; both powers are 0."""
        self.bounds = -zero_point * scale, (LEVELS - zero_point) * scale
        self.powers = torch.zeros(2, requires_grad=True)

    def tensors(self) -> tuple[Tensor, Tensor]:
        """Return the least and the largest value; a bound of 0 stays 0."""
        low, high = torch.exp(self.powers)
        return low * self.bounds[0], high * self.bounds[1]


class Weight:
    """Weights in 8 bits: what is rounded is learned, in steps, within one step of the weights."""

    def __init__(self, weights: Array, integers: Array, scale: Array) -> None:
        """Start from what the quantizer rounded.

        Args:
            weights: before rounding.
            integers: after it, of the same shape.
            scale: that can be multiplied with both.
        """
        steps = weights / np.where(scale > 0, scale, 1)
        steps = np.where(np.rint(steps) == integers, steps, integers).astype(np.float32)
        self.start = torch.from_numpy(steps)
        self.steps = self.start.clone().requires_grad_()
        self.scale = torch.tensor(np.asarray(scale, np.float32))

    def integers(self) -> Tensor:
        """Return the rounded weights, in [-127, 127]."""
        return torch.clamp(round_through(self.steps), -INT8_MAX, INT8_MAX)

    def tensor(self) -> Tensor:
        """Return the weights that the graph multiplies by."""
        return self.integers() * self.scale

    def limit(self) -> None:
        """Keep the weights within a step of where they were."""
        with torch.no_grad():
            low, high = self.start - NEAREST, self.start + NEAREST
            self.steps.copy_(torch.minimum(torch.maximum(self.steps, low), high))


class Bias:
    """A bias: its values before learning, and learned differences in a unit of their own."""

    def __init__(self, values: Array) -> None:
        """Start from the bias of the graph."""
        self.start = torch.from_numpy(np.array(values, np.float32))
        self.unit = 1.0
        self.offset = torch.zeros_like(self.start).requires_grad_()

    def tensor(self) -> Tensor:
        """Return the bias."""
        return self.start + self.offset * self.unit


@dataclass(frozen=True, slots=True)
class Layer:
    """An integer layer: the names of its dequantized weights and bias, and of what it writes."""

    node: str
    weight: str
    bias: str | None
    output: str


class Simulation:
    """A quantized graph in torch.

    Attributes:
        ranges: by name of the tensor whose range it is.
        weights: of layers, by name of the dequantized tensor.
        biases: likewise.
        layers: every layer in integers.
        written: what layers write: the name after rounding, and that in the float graph.
    """

    def __init__(self, quantized: onnx.ModelProto, model: onnx.ModelProto) -> None:
        """Bind a graph to torch.

        Args:
            quantized: with QDQ pairs.
            model: the float graph, whose weights were rounded.

        Raises:
            UnknownOperatorError: an operator of the graph is not known.
        """
        self._constants = initializers(quantized)
        self._weights_before = initializers(model)
        self.ranges: dict[str, Range] = {}
        self.weights: dict[str, Weight] = {}
        self.biases: dict[str, Bias] = {}
        self.layers: list[Layer] = []
        self.written: dict[str, str] = {}
        self._producers = {name: node for node in quantized.graph.node for name in node.output}
        sources = {
            node.output[0]: node
            for node in quantized.graph.node
            if node.op_type == "DequantizeLinear" and node.input[0] in self._constants
        }
        for node in quantized.graph.node:
            if node.op_type in WEIGHTED and node.input[1] in sources:
                self._add_layer(node, sources)
        self._graph = TorchGraph(
            quantized,
            {"QuantizeLinear": self._bind_quantize, "DequantizeLinear": self._bind_dequantize},
        )
        self._name_written(quantized)
        self._set_bias_units()

    def run(self, feeds: Feeds, names: Collection[str]) -> dict[str, Tensor]:
        """Return the named tensors of one sample."""
        return self._graph.run(feeds, names)

    def limit(self) -> None:
        """Keep each weight within a step of where it was."""
        for weight in self.weights.values():
            weight.limit()

    def _add_layer(self, node: onnx.NodeProto, sources: Mapping[str, onnx.NodeProto]) -> None:
        weight = node.input[1]
        integers, scale = self._dequantized(sources[weight])
        before = self._weights_before.get(sources[weight].input[0].removesuffix(INTEGER_SUFFIX))
        if integers.dtype != np.int8 or before is None or before.shape != integers.shape:
            return
        self.weights[weight] = Weight(before, integers, scale)
        bias = node.input[2] if len(node.input) > 2 and node.input[2] in sources else None
        if bias:
            values, scale = self._dequantized(sources[bias])
            self.biases[bias] = Bias(values * scale)
        self.layers.append(Layer(node.name, weight, bias, node.output[0]))

    def _dequantized(self, node: onnx.NodeProto) -> tuple[Array, Array]:
        """Return the integers of a constant, less their zero point, and a scale to multiply by."""
        integers, scale = (self._constants[name] for name in node.input[:2])
        shape = [1] * integers.ndim
        if scale.ndim:
            shape[min(attributes(node).get("axis", 1), integers.ndim - 1)] = -1
        if len(node.input) > 2 and np.any(self._constants[node.input[2]]):
            zero = self._constants[node.input[2]].astype(np.int32)
            integers = integers.astype(np.int32) - zero.reshape(shape if zero.ndim else ())
        return integers, scale.reshape(shape if scale.ndim else ())

    def _bind_quantize(self, node: onnx.NodeProto) -> Function:
        scale, zero_point = (self._constants[name] for name in node.input[1:3])
        if scale.ndim or zero_point.dtype != np.uint8:
            raise UnknownOperatorError(f"QuantizeLinear to {zero_point.dtype}")
        tensor = node.input[1].removesuffix(SCALE_SUFFIX)
        if self._is_rounded(node):
            return first
        learned = Range(float(scale), int(zero_point))
        writer = self._producers.get(node.input[0])
        # pixels and the answers of Softmax have ranges that the quantizer knows
        if writer is None or not (writer.op_type == "Softmax" or writer.name.startswith(PREFIX)):
            learned = self.ranges.setdefault(tensor, learned)

        def quantize(inputs: Inputs) -> Tensor:
            return fake_quantize(first(inputs), *learned.tensors())

        return quantize

    def _is_rounded(self, node: onnx.NodeProto) -> bool:
        """Return whether a QuantizeLinear reads values that it rounded before they were moved."""
        moved = self._producers.get(node.input[0])
        if moved is None or moved.op_type not in MOVES:
            return False
        source = self._producers.get(moved.input[0])
        if source is None or source.op_type != "DequantizeLinear":
            return False
        return all(
            np.array_equal(self._constants[before], self._constants[after])
            for before, after in zip(source.input[1:], node.input[1:], strict=True)
        )

    def _bind_dequantize(self, node: onnx.NodeProto) -> Function:
        if node.input[0] not in self._constants:
            return first
        (name,) = node.output
        learned = self.weights.get(name) or self.biases.get(name)
        if learned is not None:
            return lambda inputs: learned.tensor()
        integers, scale = self._dequantized(node)
        constant = torch.from_numpy(np.asarray(integers * scale, np.float32))
        return lambda inputs: constant

    def _name_written(self, quantized: onnx.ModelProto) -> None:
        layers = {layer.output for layer in self.layers}
        for node in quantized.graph.node:
            source = (
                self._producers.get(node.input[0]) if node.op_type == "DequantizeLinear" else None
            )
            if source is not None and source.input[0] in layers:
                self.written[node.output[0]] = source.input[0].removesuffix(OUTPUT_SUFFIX)

    def _set_bias_units(self) -> None:
        for layer in self.layers:
            written = self.ranges.get(layer.output.removesuffix(OUTPUT_SUFFIX))
            if layer.bias is not None and written is not None:
                self.biases[layer.bias].unit = (written.bounds[1] - written.bounds[0]) / LEVELS

"""An ONNX graph as a function in torch, through which gradients pass."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from graphlib import TopologicalSorter

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from convert.quantize.layers import attributes
from convert.quantize.learn.errors import UnknownOperatorError
from convert.quantize.learn.operators import OPERATORS, Inputs
from runtime.engine.session import Feeds

Function = Callable[[Inputs], Tensor | tuple[Tensor, ...]]
Binding = Callable[[onnx.NodeProto], Function]


@dataclass(frozen=True, slots=True)
class _Step:
    """A node: its function, what it reads and writes, and what nothing reads after it."""

    name: str
    function: Function
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    last_reads: tuple[str, ...]


class TorchGraph:
    """Runs the nodes of a graph in order; a tensor is dropped after the last node that reads it."""

    def __init__(self, model: onnx.ModelProto, bindings: Mapping[str, Binding] | None = None):
        """Bind each node to its function in torch.

        Args:
            model: its nodes in any order, as onnxruntime's quantizer leaves them.
            bindings: functions of nodes by operator, in place of those of `OPERATORS`.

        Raises:
            UnknownOperatorError: an operator is not known; all of them are named.
        """
        bindings = bindings or {}
        types = {node.op_type for node in model.graph.node}
        unknown = sorted(types - OPERATORS.keys() - bindings.keys())
        if unknown:
            raise UnknownOperatorError(", ".join(unknown))
        self._constants = {
            tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy())
            for tensor in model.graph.initializer
        }
        nodes = _in_order(model.graph)
        last = {name: i for i, node in enumerate(nodes) for name in node.input}
        self._steps = [
            _Step(
                node.name,
                bindings.get(node.op_type, bind)(node),
                tuple(node.input),
                tuple(node.output),
                tuple({name for name in node.input if last[name] == index}),
            )
            for index, node in enumerate(nodes)
        ]

    def run(self, feeds: Feeds, names: Collection[str]) -> dict[str, Tensor]:
        """Return the named tensors of one sample.

        Raises:
            UnknownOperatorError: a node has an option that is not known.
        """
        values = self._first_values(feeds)
        kept = {name: values[name] for name in names if name in values}
        for step in self._steps:
            _take(step, values, [values[n] if n else None for n in step.inputs])
            kept |= {name: values[name] for name in step.outputs if name in names}
        return kept

    def _first_values(self, feeds: Feeds) -> dict[str, Tensor]:
        inputs = {name: torch.from_numpy(np.array(array)) for name, array in feeds.items()}
        return {**self._constants, **inputs}


def _take(step: _Step, values: dict[str, Tensor], inputs: Inputs) -> None:
    """Compute a node; drop what nothing reads after it, and add what it writes."""
    try:
        results = step.function(inputs)
    except UnknownOperatorError as error:
        raise UnknownOperatorError(f"{error} ({step.name})") from error
    outputs = results if isinstance(results, tuple) else (results,)
    for name in step.last_reads:
        values.pop(name, None)
    values.update(zip(step.outputs, outputs, strict=False))


def _in_order(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Return the nodes, each behind those that write what it reads."""
    producers = {name: node.output[0] for node in graph.node for name in node.output}
    nodes = {node.output[0]: node for node in graph.node}
    sources = {
        output: dict.fromkeys(producers[name] for name in node.input if name in producers)
        for output, node in nodes.items()
    }
    return [nodes[output] for output in TopologicalSorter(sources).static_order()]


def bind(node: onnx.NodeProto) -> Function:
    """Return the function of a node, with its attributes."""
    options = attributes(node)
    if options.get("auto_pad") == b"NOTSET":
        del options["auto_pad"]
    if node.op_type == "Split":
        options["outputs"] = len(node.output)
    return partial(OPERATORS[node.op_type], options)


def first(inputs: Inputs) -> Tensor:
    """Return the first input unchanged."""
    x: Tensor = inputs[0]
    return x

"""Layer by layer, from the first to the last: weights and biases that answer as float does.

Both graphs run side by side on some samples. At each layer the weights are chosen, in whole steps,
so that from the rounded inputs that it really gets it answers what the float layer answers from its
own. The next layers get what this one answers then.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy

import numpy as np
import onnx
import torch

from convert.export.graph.surgery import initializers
from convert.quantize.layers import Array, attributes, output_axis
from convert.quantize.learn.learned import Learned, LearnedLayer
from convert.quantize.learn.moments import (
    Moments,
    PlainMoments,
    input_count,
    input_rows,
    moments_of,
)
from convert.quantize.learn.operators import Inputs
from convert.quantize.learn.rounding import best_weights, round_in_turn
from convert.quantize.learn.simulation import Layer, Simulation
from convert.quantize.learn.torch_graph import Function, Hook, TorchGraph, bind
from runtime.engine.session import Feeds

BESIDE = "float/"  # begins the names of the float graph's nodes and tensors
MOST_INPUTS = 2400  # of an output value; a layer with more is left as it is
MOST_BYTES = 3 * 2**29  # of the tensors of all samples
MOST_SAMPLES = 32
MOST_MATRIX_BYTES = 2**29  # of the covariances of all layers
FLOAT_BYTES = 4
LEAST_ROWS = 256  # of each sample, likewise
ROWS = 24_000  # output values of a layer, of all samples, whose inputs are looked at


def round_layers(
    quantized: onnx.ModelProto,
    model: onnx.ModelProto,
    feeds: Sequence[Feeds],
    observe: Callable[[str], None] = lambda state: None,
) -> Learned:
    """Return weights and biases of the integer layers, as many samples as memory allows.

    Args:
        quantized: graph with QDQ pairs.
        model: the float graph.
        feeds: one sample each; the first ones are used.
        observe: receives the state, in words.

    Raises:
        UnknownOperatorError: an operator of a graph is not known in torch.
    """
    simulation = Simulation(_side_by_side(quantized, model), model)
    weights = initializers(model)
    nodes = {node.name: node for node in model.graph.node}
    layers: dict[str, LearnedLayer] = {}

    def hook(layer: Layer, number: int) -> Hook:
        node = nodes[layer.node]
        weight = weights[node.input[1]]
        bias = weights[node.input[2]] if layer.bias is not None else None
        scale = simulation.weights[layer.weight].scale.numpy()

        def choose(inputs: Sequence[Inputs]) -> Sequence[Inputs]:
            rows = [
                [
                    input_rows(node, weight.shape, x, ROWS // len(inputs), i)
                    for x in (read[-1], read[0])
                ]
                for i, read in enumerate(inputs)
            ]
            exact, rounded = ([pair[side] for pair in rows] for side in (0, 1))
            moments = moments_of(plain.pop(node.name), exact, rounded)
            learned = _round_layer(node, weight, bias, scale, moments)
            layers[node.name] = learned
            observe(f"learning, layer {number} of {len(simulation.layers)}")
            constants = [torch.from_numpy(learned.weight)]
            constants += [] if learned.bias is None else [torch.from_numpy(learned.bias)]
            return [[read[0], *constants, *read[1 + len(constants) :]] for read in inputs]

        return choose

    plain = _plain_moments(model, feeds, [nodes[layer.node] for layer in simulation.layers])
    hooks = {
        layer.node: hook(layer, number)
        for number, layer in enumerate(simulation.layers, 1)
        if layer.node in plain
    }
    with torch.no_grad():
        size = simulation.graph.largest_bytes(feeds[0])
        count = max(1, min(MOST_SAMPLES, MOST_BYTES // max(size, 1)))
        simulation.graph.walk(feeds[:count], hooks)
    return Learned(layers=layers)


def _plain_moments(
    model: onnx.ModelProto, feeds: Sequence[Feeds], layers: Sequence[onnx.NodeProto]
) -> dict[str, PlainMoments]:
    """Run the float graph on every sample; return the moments of layers by name of the node.

    Layers of too many inputs are left out, and those of other kinds than `input_count` knows.
    """
    weights = initializers(model)
    moments: dict[str, PlainMoments] = {}
    size = 0
    for node in layers:
        kernel = weights[node.input[1]].shape
        count = input_count(node, kernel)
        size += FLOAT_BYTES * count**2 * attributes(node).get("group", 1)
        if 0 < count <= MOST_INPUTS and size <= MOST_MATRIX_BYTES:
            moments[node.name] = PlainMoments(node, kernel, max(LEAST_ROWS, ROWS // len(feeds)))

    def bind_layer(node: onnx.NodeProto) -> Function:
        function = bind(node)

        def record(inputs: Inputs) -> torch.Tensor | tuple[torch.Tensor, ...]:
            moments[node.name].add(inputs[0])
            return function(inputs)

        return record if node.name in moments else function

    graph = TorchGraph(model, dict.fromkeys(("Conv", "Gemm", "MatMul"), bind_layer))
    with torch.no_grad():
        for sample in feeds:
            graph.run(sample, ())
    return moments


def _side_by_side(quantized: onnx.ModelProto, model: onnx.ModelProto) -> onnx.ModelProto:
    """Return both graphs in one; each layer of the first also reads what its double reads."""
    both = deepcopy(quantized)
    doubles: Mapping[str, onnx.NodeProto] = {node.name: node for node in model.graph.node}
    given = {value.name for value in model.graph.input}

    def beside(name: str) -> str:
        return name if not name or name in given else f"{BESIDE}{name}"

    for node in both.graph.node:
        double = doubles.get(node.name)
        if double is not None and double.op_type in ("Conv", "Gemm", "MatMul"):
            filler = [""] * max(0, 3 - len(node.input))
            node.input.extend([*filler, beside(double.input[0])])
    for node in model.graph.node:
        double = both.graph.node.add()
        double.CopyFrom(node)
        double.name = f"{BESIDE}{node.name}"
        for names in (double.input, double.output):
            for index, name in enumerate(names):
                names[index] = beside(name)
    for tensor in model.graph.initializer:
        copy = both.graph.initializer.add()
        copy.CopyFrom(tensor)
        copy.name = f"{BESIDE}{tensor.name}"
    return both


def _round_layer(
    node: onnx.NodeProto, weight: Array, bias: Array | None, scale: Array, moments: Moments
) -> LearnedLayer:
    """Return the weights of a layer in whole steps, and a bias that keeps its mean answer."""
    is_transposed = node.op_type != "Conv" and output_axis(node, weight.ndim) == 1
    rows = (weight.T if is_transposed else weight).reshape(
        len(weight.T if is_transposed else weight), -1
    )
    steps = np.broadcast_to(scale.reshape(-1, 1), (len(rows), 1))
    groups = len(moments.means)
    matrices, changes = [], []
    for index, (own, own_steps) in enumerate(
        zip(np.split(rows, groups), np.split(steps, groups), strict=True)
    ):
        covariance = moments.covariances[index]
        best = best_weights(own, covariance, moments.lost[index])
        # with the mean, which is known from samples alone: the bias has little to make up for
        products = covariance + np.outer(moments.means[index], moments.means[index])
        rounded = round_in_turn(best, own_steps, products) * own_steps
        matrices.append(rounded)
        error = (rounded - own) @ moments.means[index]
        changes.append(-error - rounded @ moments.mean_errors[index])
    result = np.concatenate(matrices)
    result = result.T if is_transposed else result
    return LearnedLayer(
        np.ascontiguousarray(result.reshape(weight.shape), np.float32),
        None if bias is None else (bias + np.concatenate(changes)).astype(np.float32),
    )

"""Layer by layer: weights rounded so that each layer answers as it does in float.

What a layer reads in the float graph decides how its weights are rounded; the bias makes up for the
mean of what is left.
"""

from collections.abc import Callable, Sequence

import numpy as np
import onnx
import torch
from torch import Tensor

from convert.export.graph.surgery import initializers
from convert.quantize.layers import Array, attributes, output_axis
from convert.quantize.learn.learned import Learned, LearnedLayer
from convert.quantize.learn.moments import Moments, input_count
from convert.quantize.learn.operators import Inputs
from convert.quantize.learn.rounding import round_in_turn
from convert.quantize.learn.simulation import Simulation
from convert.quantize.learn.torch_graph import Function, TorchGraph, bind
from runtime.engine.session import Feeds

MOST_INPUTS = 2400  # of an output value; a layer with more is rounded to the nearest
MOST_BYTES = 2**29  # of the covariances of all layers
FLOAT_BYTES = 4
# output values of a layer whose inputs are looked at: of all samples, and of each at least
ROWS, LEAST_ROWS = 24_000, 256


def round_layers(
    quantized: onnx.ModelProto,
    model: onnx.ModelProto,
    feeds: Sequence[Feeds],
    observe: Callable[[str], None] = lambda state: None,
) -> Learned:
    """Return weights and biases of the integer layers.

    Args:
        quantized: graph with QDQ pairs.
        model: the float graph, which runs once for each sample.
        feeds: one sample each.
        observe: receives the state, in words.

    Raises:
        UnknownOperatorError: an operator of a graph is not known in torch.
    """
    simulation = Simulation(quantized, model)
    weights = initializers(model)
    nodes = {node.name: node for node in model.graph.node}
    moments = _moments(model, feeds, [nodes[layer.node] for layer in simulation.layers], observe)
    layers = {}
    for layer in simulation.layers:
        if layer.node in moments:
            node = nodes[layer.node]
            bias = weights[node.input[2]] if layer.bias is not None else None
            scale = simulation.weights[layer.weight].scale.numpy()
            layers[layer.node] = _round_layer(
                node, weights[node.input[1]], bias, scale, moments.pop(layer.node)
            )
    return Learned(layers=layers)


def _moments(
    model: onnx.ModelProto,
    feeds: Sequence[Feeds],
    layers: Sequence[onnx.NodeProto],
    observe: Callable[[str], None],
) -> dict[str, Moments]:
    """Run the float graph on every sample; return the moments of layers by name of the node.

    Layers of too many inputs are left out, and those of other kinds than `input_count` knows.
    """
    weights = initializers(model)
    moments: dict[str, Moments] = {}
    size = 0
    for node in layers:
        kernel = weights[node.input[1]].shape
        count = input_count(node, kernel)
        size += FLOAT_BYTES * count**2 * attributes(node).get("group", 1)
        if 0 < count <= MOST_INPUTS and size <= MOST_BYTES:
            moments[node.name] = Moments(node, kernel, max(LEAST_ROWS, ROWS // len(feeds)))

    def bind_layer(node: onnx.NodeProto) -> Function:
        function = bind(node)

        def record(inputs: Inputs) -> Tensor | tuple[Tensor, ...]:
            moments[node.name].add(inputs[0])
            return function(inputs)

        return record if node.name in moments else function

    graph = TorchGraph(model, dict.fromkeys(("Conv", "Gemm", "MatMul"), bind_layer))
    with torch.no_grad():
        for number, sample in enumerate(feeds, 1):
            graph.run(sample, ())
            observe(f"learning layers, sample {number} of {len(feeds)}")
    return moments


def _round_layer(
    node: onnx.NodeProto, weight: Array, bias: Array | None, scale: Array, moments: Moments
) -> LearnedLayer:
    """Return the weights of a layer in whole steps, and a bias that keeps its mean answer."""
    is_transposed = node.op_type != "Conv" and output_axis(node, weight.ndim) == 1
    outputs_first = weight.T if is_transposed else weight
    rows = outputs_first.reshape(len(outputs_first), -1)
    steps = np.broadcast_to(scale.reshape(-1, 1), (len(rows), 1))
    means, covariances = moments.means, moments.covariances
    matrices, errors = [], []
    for index, (own, own_steps) in enumerate(
        zip(np.split(rows, len(means)), np.split(steps, len(means)), strict=True)
    ):
        rounded = round_in_turn(own, own_steps, covariances[index]) * own_steps
        matrices.append(rounded)
        errors.append((rounded - own) @ means[index])
    result = np.concatenate(matrices)
    result = (result.T if is_transposed else result).reshape(weight.shape)
    return LearnedLayer(
        np.ascontiguousarray(result, np.float32),
        None if bias is None else (bias - np.concatenate(errors)).astype(np.float32),
    )

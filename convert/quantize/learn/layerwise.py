"""Layer by layer, from the first to the last: weights and biases that answer as float does.

All samples go through the quantized graph together. At each layer the weights are chosen, in whole
steps, so that from the rounded inputs that it really gets it answers what the float layer answers
from its own. The next layers get what this one answers then.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy

import numpy as np
import onnx
import onnxruntime as ort

from convert.export.graph.surgery import initializers
from convert.quantize.layers import Array, output_axis
from convert.quantize.learn.learned import (
    LayerScale,
    Learned,
    LearnedLayer,
    layer_scales,
    round_as_learned,
)
from convert.quantize.learn.moments import Answers, Moments, input_count
from convert.quantize.learn.pieces import PieceWalk
from convert.quantize.learn.rounding import best_weights, round_in_turn
from runtime.engine.session import Feeds

MOST_INPUTS = 2400  # of an output value; a layer with more is rounded to the nearest
MOST_BYTES = 5 * 2**29  # of the tensors of all samples
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
        model: the float graph.
        feeds: one sample each; as many of them as memory holds are used.
        observe: receives the state, in words.

    Raises:
        LearningError: nothing can be learned from the graph.
    """
    pairs = deepcopy(quantized)
    weights = initializers(model)
    scales = layer_scales(pairs)
    layers = {
        node.name: node
        for node in model.graph.node
        if node.name in scales
        and 0 < input_count(node, weights[node.input[1]].shape) <= MOST_INPUTS
    }
    walk = PieceWalk(pairs, list(layers))
    count = max(1, min(len(feeds), MOST_BYTES // max(walk.most_bytes(feeds[0]), 1)))
    chosen = [feeds[i] for i in np.linspace(0, len(feeds) - 1, count).astype(int)]
    rows = max(LEAST_ROWS, ROWS // count)
    answers = _answers(model, layers, chosen, rows, observe)
    inputs = {node.name: node.input[0] for node in pairs.graph.node if node.input}
    samples = walk.start(chosen)
    learned: dict[str, LearnedLayer] = {}
    for piece in walk.pieces:
        if piece.layer:
            node = layers[piece.layer]
            moments = Moments(node, weights[node.input[1]].shape, rows)
            own = answers.pop(node.name)
            for number, sample in enumerate(samples):
                x = walk.read(inputs[node.name], sample)
                moments.add(x, number, own.samples[number])
            layer = _round_layer(node, weights, scales[node.name], moments, own.means)
            learned[node.name] = layer
            round_as_learned(pairs, model, {node.name: layer}, {})
            observe(f"learning, layer {len(learned)} of {len(layers)}")
        walk.run(piece, samples)
    return Learned(learned)


def _answers(
    model: onnx.ModelProto,
    layers: Mapping[str, onnx.NodeProto],
    feeds: Sequence[Feeds],
    rows: int,
    observe: Callable[[str], None],
) -> dict[str, Answers]:
    """Run the float graph on every sample; return the answers of layers by name of the node."""
    answers = {name: Answers(node, rows) for name, node in layers.items()}
    copy = deepcopy(model)
    del copy.graph.output[:]
    names = [node.output[0] for node in layers.values()]
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    session = ort.InferenceSession(copy.SerializeToString(), options, ["CPUExecutionProvider"])
    for number, sample in enumerate(feeds, 1):
        for own, y in zip(answers.values(), session.run(names, sample), strict=True):
            own.add(y)
        observe(f"learning, sample {number} of {len(feeds)} in float")
    return answers


def _round_layer(
    node: onnx.NodeProto,
    weights: Mapping[str, Array],
    scale: LayerScale,
    moments: Moments,
    answers: Array,
) -> LearnedLayer:
    """Return the weights of a layer in whole steps, and a bias that keeps its mean answer.

    Args:
        node: of the float graph.
        weights: the constants of that.
        scale: of the integer layer.
        moments: of what it reads.
        answers: (outputs,) the means of the float layer's.
    """
    weight = weights[node.input[1]]
    is_transposed = node.op_type != "Conv" and output_axis(node, weight.ndim) == 1
    outputs_first = weight.T if is_transposed else weight
    rows = outputs_first.reshape(len(outputs_first), -1)
    steps = np.broadcast_to(scale.steps.reshape(-1, 1), (len(rows), 1))
    means = moments.means
    covariances, crossed = moments.covariances(is_centred=scale.has_bias)
    matrices, means_after = [], []
    for index, (own, own_steps) in enumerate(
        zip(np.split(rows, len(means)), np.split(steps, len(means)), strict=True)
    ):
        best = best_weights(own, covariances[index], crossed[index])
        rounded = round_in_turn(best, own_steps, covariances[index]) * own_steps
        matrices.append(rounded)
        means_after.append(rounded @ means[index])
    result = np.concatenate(matrices)
    result = (result.T if is_transposed else result).reshape(weight.shape)
    bias = (answers - np.concatenate(means_after)).astype(np.float32) if scale.has_bias else None
    return LearnedLayer(np.ascontiguousarray(result, np.float32), bias)

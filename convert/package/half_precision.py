"""A float16 form of a float graph, for GPUs."""

from pathlib import Path

import onnx
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

from convert.export.graph.surgery import readers, replace_nodes
from convert.export.numerics.fragment import PREFIX

# sums over many values and exponentials, which float16 rounds or cannot hold: its largest number
# is 65,504
FLOAT32_OPERATORS = (
    *("Softmax", "LogSoftmax", "Exp", "Log", "Pow", "Sqrt", "Reciprocal", "Erf"),
    *("LayerNormalization", "InstanceNormalization", "GroupNormalization", "BatchNormalization"),
    *("SimplifiedLayerNormalization", "SkipLayerNormalization", "LpNormalization"),
    *("ReduceMean", "ReduceSum", "ReduceSumSquare", "ReduceL1", "ReduceL2", "ReduceProd"),
)


def write_float16(source: Path, target: Path) -> None:
    """Write a float graph with weights and activations in float16.

    The numerics around the network (scaling, softmax, decoding of boxes), and normalization and
    reductions within it, stay in float32; so do inputs and outputs.

    Args:
        source: ONNX file of a float graph.
        target: receives the float16 graph.
    """
    model = onnx.load(source)
    names = frozenset(node.name for node in model.graph.node)
    numerics = [name for name in names if name.startswith(PREFIX)]
    converted = convert_float_to_float16(
        model,
        keep_io_types=True,
        op_block_list=[*DEFAULT_OP_BLOCK_LIST, *FLOAT32_OPERATORS],
        node_block_list=numerics,
    )
    _join_casts(converted, names)
    onnx.save(converted, target)


def _join_casts(model: onnx.ModelProto, names: frozenset[str]) -> None:
    """Remove casts that the conversion inserted twice, or there and back; in place.

    It casts to and from float16 around every node that stays in float32. Between two of them the
    values would be rounded: a coordinate of 300 px to a quarter of a pixel.

    Args:
        model: the converted graph.
        names: of the nodes before the conversion.
    """
    aliases, sources = dict[str, str](), dict[str, str]()  # by output: an equal value; what is cast
    by_key = dict[tuple[str, int], str]()  # the output of the cast of a tensor to a type
    nodes = []
    results = {value.name for value in model.graph.output}
    for node in _sorted(model):
        node.input[:] = [aliases.get(name, name) for name in node.input]
        if node.op_type == "Cast" and node.name not in names:
            source, output, to = node.input[0], node.output[0], node.attribute[0].i
            before = sources.get(source) if to == onnx.TensorProto.FLOAT else None
            equal = before or by_key.get((source, to))
            if equal is not None and output not in results:
                aliases[output] = equal
                continue
            if equal is not None:
                node = onnx.helper.make_node("Identity", [equal], [output], node.name)
            else:
                by_key[source, to] = output
                if to == onnx.TensorProto.FLOAT16:
                    sources[output] = source
        nodes.append(node)
    replace_nodes(model, nodes)
    read = readers(model)
    replace_nodes(model, [node for node in nodes if any(name in read for name in node.output)])
    del model.graph.value_info[:]  # of tensors that are gone, too


def _sorted(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Return the nodes, each once and after those that it reads."""
    producers = {name: node for node in model.graph.node for name in node.output}
    ordered = dict[str, onnx.NodeProto]()  # by first output: the conversion repeats some casts
    pending = [producers[value.name] for value in model.graph.output]
    while pending:
        node = pending[-1]
        missing = [
            producers[name]
            for name in node.input
            if name in producers and producers[name].output[0] not in ordered
        ]
        if missing:
            pending.extend(missing)
        else:
            ordered[pending.pop().output[0]] = node
    return list(ordered.values())

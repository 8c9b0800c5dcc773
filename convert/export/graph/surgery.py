"""Changes that graphs of every framework need: prune, simplify, free the batch, canonicalize.

Functions return a changed copy; `replace_nodes`, `replace_field` and `_keep` change their argument.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import helper, numpy_helper, shape_inference

from convert.errors import ConvertError
from convert.export.graph.padding import keep_zero_padding
from runtime.engine.session import OnnxruntimeError
from runtime.errors import one_line

IR_VERSION = 10  # read by every onnxruntime since 1.18
VENDOR = "com.microsoft"  # domain of the operators that onnxruntime adds to ONNX


def prune(model: onnx.ModelProto, outputs: Sequence[str]) -> onnx.ModelProto:
    """Return a graph of the named outputs, in this order, and all that computes them.

    Initializers are removed from the inputs. Files of old exporters list them there, so that a
    caller could replace a weight; onnxruntime folds no weight that can be replaced.
    """
    producers = {name: node for node in model.graph.node for name in node.output}
    needed: set[str] = set()
    pending = list(outputs)
    while pending:
        name = pending.pop()
        if name in needed:
            continue
        needed.add(name)
        if name in producers:
            pending.extend(_names_read(producers[name]))
    pruned = deepcopy(model)
    graph = pruned.graph
    constants = {tensor.name for tensor in graph.initializer}
    _keep(graph.node, lambda node: needed.intersection(node.output))
    _keep(graph.initializer, lambda tensor: tensor.name in needed)
    _keep(graph.input, lambda value: value.name in needed and value.name not in constants)
    values = {value.name: value for value in graph.output}
    replace_field(graph.output, [values[name] for name in outputs])
    return pruned


def replace_nodes(
    model: onnx.ModelProto,
    nodes: Sequence[onnx.NodeProto],
    constants: Sequence[onnx.TensorProto] = (),
) -> None:
    """Replace all nodes of a model, in place; import onnxruntime's domain if a node needs it.

    Args:
        model: a model without subgraphs.
        nodes: the new nodes, in topological order.
        constants: initializers to add. Initializers that no node reads are removed.
    """
    graph = model.graph
    replace_field(graph.node, nodes)
    graph.initializer.extend(constants)
    read = {name for node in nodes for name in node.input}
    _keep(graph.initializer, lambda tensor: tensor.name in read)
    domains = {opset.domain for opset in model.opset_import}
    if VENDOR not in domains and any(node.domain == VENDOR for node in nodes):
        model.opset_import.append(helper.make_opsetid(VENDOR, 1))


def has_subgraphs(model: onnx.ModelProto) -> bool:
    """Return whether a node holds a graph of its own: If, Loop or Scan."""
    return any(True for node in model.graph.node for _ in _subgraphs(node))


def nhwc_to_nchw(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a graph that takes its first input, of (N, H, W, C), as (N, C, H, W).

    A Transpose restores the axes. The input is renamed to `<name>_planes`.
    """
    transposed = deepcopy(model)
    graph = transposed.graph
    dims = graph.input[0].type.tensor_type.shape.dim
    pixels, order = graph.input[0].name, [dims[0], dims[3], dims[1], dims[2]]
    planes = f"{pixels}_planes"
    transpose = helper.make_node("Transpose", [planes], [pixels], planes, perm=[0, 2, 3, 1])
    replace_field(graph.node, [transpose, *graph.node])
    graph.input[0].name = planes
    replace_field(dims, order)
    return transposed


def free_batch(model: onnx.ModelProto) -> onnx.ModelProto:
    """Name the first axis of every input and output "N", so that it may have any size.

    Shapes of inner tensors are removed, because they were inferred for another N. Nodes stay as
    they are; `free_reshapes` changes a Reshape that fixes the batch.
    """
    freed = deepcopy(model)
    del freed.graph.value_info[:]
    for value in (*freed.graph.input, *freed.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    return freed


def scale_resizes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace the `sizes` of each Resize by constant `scales`, and simplify the graph.

    A Resize keeps its `sizes` if it has other than four axes, or height or width is not known.
    `sizes` holds the batch axis too. As a constant it fixes the batch to 1 (rembg's U-2-Net file);
    computed by Shape, Slice and Concat it costs a dozen nodes per Resize (torch's exporter).

    Raises:
        ConvertError: onnxruntime does not load the graph.
    """
    inferred = shape_inference.infer_shapes(simplify(model), data_prop=True)
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output)
    }
    for node in inferred.graph.node:
        if node.op_type != "Resize" or len(node.input) < 4:
            continue
        before, after = shapes.get(node.input[0], []), shapes.get(node.output[0], [])
        if len(before) != 4 or len(after) != 4 or 0 in (*before[2:], *after[2:]):
            continue
        scales = np.array([1, 1, after[2] / before[2], after[3] / before[3]], np.float32)
        name = f"{node.output[0]}_scales"
        inferred.graph.initializer.append(numpy_helper.from_array(scales, name))
        node.input[1:] = ["", name]
    del inferred.graph.value_info[:]
    return simplify(inferred)


def simplify(model: onnx.ModelProto) -> onnx.ModelProto:
    """Fold constants and batch normalization with onnxruntime's basic optimizations.

    Basic optimizations do not depend on the CPU, so the graph is the same everywhere. The one that
    would change values is kept from it: see `keep_zero_padding`.

    Raises:
        ConvertError: onnxruntime does not load the graph.
    """
    with tempfile.TemporaryDirectory(prefix="slipway-") as directory:
        source, target = Path(directory, "in.onnx"), Path(directory, "out.onnx")
        onnx.save(keep_zero_padding(model), source)
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(target)
        options.log_severity_level = 3
        try:
            ort.InferenceSession(str(source), options, ["CPUExecutionProvider"])
        except OnnxruntimeError as error:
            raise ConvertError(
                f"onnxruntime refuses the exported graph: {one_line(error)}"
            ) from error
        simplified = onnx.load(target)
    # onnxruntime also lists domains that no node uses
    domains = {node.domain for node in simplified.graph.node}
    _keep(simplified.opset_import, lambda opset: opset.domain in domains)
    return simplified


def canonicalize(model: onnx.ModelProto, *, prefix: str = "") -> onnx.ModelProto:
    """Name nodes and tensors by their position, and remove all traces of the exporter.

    Only inputs keep their names: an output gets the name of its node, as `012_Softmax`. Equal
    weights must become equal bytes, but exporters number names with process-wide counters and write
    source paths. Nodes are sorted in an order that depends on the graph's edges alone.

    Args:
        model: a graph without subgraphs.
        prefix: begins every new name, so that two graphs can be joined.

    Raises:
        ConvertError: an output is an input or a constant, or a node holds a graph of its own.
    """
    if has_subgraphs(model):
        raise ConvertError("the graph has branches or loops (If, Loop, Scan); allowed: none")
    graph = model.graph
    nodes = _sort_depth_first(graph)
    names: dict[str, str] = {value.name: value.name for value in graph.input}
    for index, node in enumerate(nodes):
        for position, name in enumerate(node.output):
            if name:
                names[name] = f"{prefix}{index:03d}_{node.op_type}" + (
                    f"_{position}" * (position > 0)
                )
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    initializers = []
    for node in nodes:
        for position, name in enumerate(node.input):
            if name in tensors and name not in names:
                names[name] = f"{names[node.output[0]]}.{position}"
                initializers.append((names[name], tensors[name]))
    renamed = [_renamed_node(node, names) for node in nodes]
    outputs = [_renamed_value(value, names) for value in graph.output]
    clean = helper.make_graph(
        renamed,
        "slipway",
        list(graph.input),
        outputs,
        [_renamed_tensor(tensor, name) for name, tensor in initializers],
    )
    opsets = sorted(model.opset_import, key=lambda opset: opset.domain)
    return helper.make_model(clean, opset_imports=opsets, ir_version=IR_VERSION)


def readers(model: onnx.ModelProto) -> dict[str, list[onnx.NodeProto]]:
    """Return the nodes that read each tensor, by the tensor's name; subgraphs are not looked into.

    An output of the graph has a blank node in addition, so that an output that one node reads does
    not look like a tensor that nothing else needs.
    """
    nodes: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            nodes.setdefault(name, []).append(node)
    for value in model.graph.output:
        nodes.setdefault(value.name, []).append(onnx.NodeProto())
    return nodes


def initializers(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    """Return the initializers of the main graph as arrays, by name; not its Constant nodes."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def replace_field(repeated: Any, messages: Iterable[Any]) -> None:
    """Replace all messages of a repeated protobuf field, in place.

    Args:
        repeated: the field, as `graph.node`.
        messages: the new messages; they may be some of the old ones.
    """
    replacement = list(messages)
    del repeated[:]
    repeated.extend(replacement)


def _subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Yield the graphs in a node's attributes."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _names_read(node: onnx.NodeProto) -> Iterator[str]:
    """Yield the tensors that a node reads, itself or inside its subgraphs."""
    yield from filter(None, node.input)
    for graph in _subgraphs(node):
        yield from (value.name for value in graph.output)
        for inner in graph.node:
            yield from _names_read(inner)


def _sort_depth_first(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Return the nodes that outputs need, in depth-first order, each after those that it reads.

    Raises:
        ConvertError: an output is an input or a constant.
    """
    producers = {name: node for node in graph.node for name in node.output if name}
    ordered: list[onnx.NodeProto] = []
    placed: set[int] = set()
    for value in graph.output:
        if value.name not in producers:
            raise ConvertError(f"no operator computes the output {value.name!r}")
    stack = [(producers[value.name], False) for value in reversed(graph.output)]
    while stack:
        node, ready = stack.pop()
        if id(node) in placed:
            continue
        if ready:
            placed.add(id(node))
            ordered.append(node)
            continue
        stack.append((node, True))
        sources = [producers[name] for name in node.input if name in producers]
        stack.extend((source, False) for source in reversed(sources))
    return ordered


def _renamed_node(node: onnx.NodeProto, names: dict[str, str]) -> onnx.NodeProto:
    """Return a copy under the name of its first output: no texts, attributes sorted."""
    clean = deepcopy(node)
    clean.ClearField("doc_string")
    clean.ClearField("metadata_props")
    clean.name = names[next(filter(None, node.output))]
    clean.input[:] = [names.get(name, name) for name in node.input]
    clean.output[:] = [names.get(name, name) for name in node.output]
    replace_field(clean.attribute, sorted(clean.attribute, key=lambda attribute: attribute.name))
    return clean


def _renamed_value(value: onnx.ValueInfoProto, names: dict[str, str]) -> onnx.ValueInfoProto:
    clean = deepcopy(value)
    clean.name = names.get(value.name, value.name)
    clean.ClearField("doc_string")
    return clean


def _renamed_tensor(tensor: onnx.TensorProto, name: str) -> onnx.TensorProto:
    # converted through numpy, because protobuf has two fields for values: raw_data and float_data
    return numpy_helper.from_array(numpy_helper.to_array(tensor), name)


def _keep(repeated: Any, predicate: Callable[[Any], object]) -> None:
    """Remove the messages of a repeated field that do not meet a predicate, in place."""
    replace_field(repeated, [item for item in repeated if predicate(item)])

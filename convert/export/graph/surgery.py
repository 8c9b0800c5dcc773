"""Changes that graphs of every framework need: prune, simplify, free the batch, canonicalize.

No function changes its argument, except `replace_nodes` and `replace_field`.
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
from runtime.engine.session import OnnxruntimeError
from runtime.errors import one_line

IR_VERSION = 10  # read by every onnxruntime since 1.18
VENDOR = "com.microsoft"  # domain of the operators that onnxruntime adds to ONNX


def prune(model: onnx.ModelProto, outputs: Sequence[str]) -> onnx.ModelProto:
    """Keep the named outputs, in this order, and the nodes, weights and inputs that they need.

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
    """Replace all nodes of a model, in place.

    Args:
        model: is changed.
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
    """Return a graph that takes its one (N, H, W, C) input as (N, C, H, W)."""
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

    Shapes of inner tensors are dropped, because they were inferred for another N.
    """
    freed = deepcopy(model)
    del freed.graph.value_info[:]
    for value in (*freed.graph.input, *freed.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    return freed


def scale_resizes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace the `sizes` of each Resize by constant `scales` where height and width are known.

    `sizes` holds the batch axis too. As a constant it fixes the batch to 1 (rembg's U-2-Net file);
    computed by Shape, Slice and Concat it costs a dozen nodes per Resize (torch's exporter).
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

    Basic optimizations do not depend on the CPU, so the graph is the same everywhere.

    Raises:
        ConvertError: onnxruntime does not load the graph.
    """
    with tempfile.TemporaryDirectory(prefix="slipway-") as directory:
        source, target = Path(directory, "in.onnx"), Path(directory, "out.onnx")
        onnx.save(model, source)
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
    """Name nodes and tensors by their position, and drop all traces of the exporter.

    Equal weights must give equal bytes, but exporters number names with process-wide counters and
    write source paths. Nodes are sorted in an order that depends on the graph's edges alone.

    Args:
        model: a graph without subgraphs.
        prefix: begins every new name, so that two graphs can be joined.

    Raises:
        ConvertError: an output is an input or a constant, or a node holds a graph of its own.
    """
    if has_subgraphs(model):
        raise ConvertError("the graph has branches or loops (If, Loop, Scan); allowed: none")
    graph = model.graph
    nodes = _ordered(graph)
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
    """Return the nodes that read each tensor, by the tensor's name.

    An output of the graph has a blank node in addition, so that it never seems to have one reader.
    """
    nodes: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            nodes.setdefault(name, []).append(node)
    for value in model.graph.output:
        nodes.setdefault(value.name, []).append(onnx.NodeProto())
    return nodes


def initializers(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    """Return the constants of the main graph as arrays, by name."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def replace_field(repeated: Any, messages: Iterable[Any]) -> None:
    """Replace all messages of a repeated protobuf field, in place; it may be a subset of them."""
    replacement = list(messages)
    del repeated[:]
    repeated.extend(replacement)


def _subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
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


def _ordered(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Return the nodes in depth-first order from the outputs, each after its inputs."""
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
    replace_field(repeated, [item for item in repeated if predicate(item)])

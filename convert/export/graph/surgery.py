"""Graph surgery that every source needs: prune, simplify, free the batch axis, canonicalise."""

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
from runtime.errors import one_line

IR_VERSION = 10  # read by every onnxruntime since 1.18
VENDOR = "com.microsoft"  # onnxruntime's operators beside the standard ones


def prune(model: onnx.ModelProto, outputs: Sequence[str]) -> onnx.ModelProto:
    """Keep these outputs, in this order, and only what they need.

    Initializers listed as inputs are constants again.
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
    """Put these nodes in place of all, with further constants; those that none reads go."""
    graph = model.graph
    replace_field(graph.node, nodes)
    graph.initializer.extend(constants)
    read = {name for node in nodes for name in node.input}
    _keep(graph.initializer, lambda tensor: tensor.name in read)
    known = {opset.domain for opset in model.opset_import}
    if VENDOR not in known and any(node.domain == VENDOR for node in nodes):
        model.opset_import.append(helper.make_opsetid(VENDOR, 1))


def has_subgraphs(model: onnx.ModelProto) -> bool:
    """True where nodes hold graphs of their own: If, Loop, Scan."""
    return any(True for node in model.graph.node for _ in _subgraphs(node))


def nhwc_to_nchw(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph, taking its one (N, H, W, C) input as (N, C, H, W)."""
    turned = deepcopy(model)
    graph = turned.graph
    dims = graph.input[0].type.tensor_type.shape.dim
    pixels, order = graph.input[0].name, [dims[0], dims[3], dims[1], dims[2]]
    planes = f"{pixels}_planes"
    transpose = helper.make_node("Transpose", [planes], [pixels], planes, perm=[0, 2, 3, 1])
    replace_field(graph.node, [transpose, *graph.node])
    graph.input[0].name = planes
    replace_field(dims, order)
    return turned


def free_batch(model: onnx.ModelProto) -> onnx.ModelProto:
    """Name the first axis of every input and output "N", and drop shapes inferred for another N."""
    freed = deepcopy(model)
    del freed.graph.value_info[:]
    for value in (*freed.graph.input, *freed.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    return freed


def scale_resizes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace the `sizes` of each Resize by constant `scales` where height and width are known.

    `sizes` holds the batch axis too: as a constant it pins the batch to 1 (rembg's file), computed
    by Shape, Slice and Concat it costs a dozen nodes per Resize (torch's exporter).
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
    """Fold constants and batch normalisation with onnxruntime's hardware-independent passes."""
    with tempfile.TemporaryDirectory(prefix="slipway-") as directory:
        source, target = Path(directory, "in.onnx"), Path(directory, "out.onnx")
        onnx.save(model, source)
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(target)
        options.log_severity_level = 3
        try:
            ort.InferenceSession(str(source), options, ["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions share no base class of their own
            raise ConvertError(
                f"onnxruntime refuses the exported graph: {one_line(error)}"
            ) from error
        simplified = onnx.load(target)
    # the optimiser lists domains that no node uses
    used = {node.domain for node in simplified.graph.node}
    _keep(simplified.opset_import, lambda opset: opset.domain in used)
    return simplified


def canonicalize(model: onnx.ModelProto, *, prefix: str = "") -> onnx.ModelProto:
    """Name nodes and tensors by their place, and drop everything that says who exported them.

    Exporters number names with process-wide counters and write source paths; equal weights must
    give equal bytes. Nodes are put in an order that depends on the graph alone.

    Args:
        model: any graph of one main graph (no subgraphs are renamed).
        prefix: of every new name, so that graphs can be joined.

    Raises:
        ConvertError: an output is an input or a constant; a node holds a graph of its own.
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
    """The nodes that read each tensor, by name; what the graph gives has a blank one more."""
    found: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            found.setdefault(name, []).append(node)
    for value in model.graph.output:
        found.setdefault(value.name, []).append(onnx.NodeProto())
    return found


def initializers(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    """The constants of the main graph, by name."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def replace_field(repeated: Any, messages: Iterable[Any]) -> None:
    """Replace all messages of a repeated protobuf field; the new ones may be its own."""
    kept = list(messages)
    del repeated[:]
    repeated.extend(kept)


def _subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _names_read(node: onnx.NodeProto) -> Iterator[str]:
    """Of a node and all that its subgraphs may take from around them."""
    yield from filter(None, node.input)
    for graph in _subgraphs(node):
        yield from (value.name for value in graph.output)
        for inner in graph.node:
            yield from _names_read(inner)


def _ordered(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    # depth first from the outputs: the order follows the edges, not the exporter's numbering
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
    replace_field(clean.attribute, sorted(clean.attribute, key=lambda each: each.name))
    return clean


def _renamed_value(value: onnx.ValueInfoProto, names: dict[str, str]) -> onnx.ValueInfoProto:
    clean = deepcopy(value)
    clean.name = names.get(value.name, value.name)
    clean.ClearField("doc_string")
    return clean


def _renamed_tensor(tensor: onnx.TensorProto, name: str) -> onnx.TensorProto:
    # through numpy: the same values may lie in raw_data or in float_data
    return numpy_helper.from_array(numpy_helper.to_array(tensor), name)


def _keep(repeated: Any, wanted: Callable[[Any], object]) -> None:
    replace_field(repeated, [item for item in repeated if wanted(item)])

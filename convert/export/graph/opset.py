"""Graphs of any ONNX version in the operators of one: OPSET."""

from collections.abc import Sequence
from copy import deepcopy

import numpy as np
import onnx
from onnx import helper, inliner, numpy_helper, version_converter

from convert.errors import ConvertError
from convert.export.graph.surgery import replace_field

OPSET = 17  # the newest of torch's tracing exporter; 13 is the least for per-channel QDQ
LAST_WITHOUT_COORDINATES = 10  # newest opset whose Resize does not say which pixels it takes
# onnx's converter has no way down for these, though their old forms do the same
SAME = ("ConstantOfShape", "Pad", "Split")
HIDDEN = "slipway.same"
LISTED = 4  # operators named in a message


def convert_opset(model: onnx.ModelProto) -> onnx.ModelProto:
    """Bring a graph of an older or newer ONNX version to OPSET.

    Functions are inlined, and so are newer operators that ONNX defines by older ones (Gelu, say).

    Raises:
        ConvertError: an operator cannot be brought there, or is not of the standard set.
    """
    plain = inliner.inline_local_functions(model) if model.functions else model
    _refuse_custom(plain)
    version = opset_of(plain)
    if version == OPSET:
        return plain
    try:
        if version > OPSET:
            return _shown(version_converter.convert_version(_lowered(plain, version), OPSET))
        return _with_coordinates(version_converter.convert_version(plain, OPSET), version)
    except ConvertError:
        raise
    except Exception as error:  # the converter raises RuntimeError, and its own C++ types
        reason = " ".join(str(error).split()).rpartition("failed: ")[2][:200]
        raise _refusal(version, reason) from error


def opset_of(model: onnx.ModelProto) -> int:
    """The version of standard ONNX that a graph is written in; 0: none."""
    domains = {opset.domain: opset.version for opset in model.opset_import}
    return domains.get("", domains.get("ai.onnx", 0))


def require_standard_operators(model: onnx.ModelProto, what: str) -> None:
    """Refuse operators that ONNX does not have at OPSET.

    Raises:
        ConvertError: `what`, and their names.
    """
    unknown = _unknown(model)
    if unknown:
        raise ConvertError(f"{what}: {_listed(unknown)}")


def _refuse_custom(model: onnx.ModelProto) -> None:
    custom = {(node.domain, node.op_type) for node in model.graph.node if not _standard(node)}
    if custom:
        names = _listed([f"{domain}.{name}" for domain, name in sorted(custom)])
        raise ConvertError(
            f"the graph uses the operators {names}; allowed: standard ONNX. "
            "Export it without vendor's operators and before any optimisation or quantization"
        )


def _standard(node: onnx.NodeProto) -> bool:
    return node.domain in ("", "ai.onnx")


def _exists(node: onnx.NodeProto, version: int) -> bool:
    return _standard(node) and onnx.defs.has(node.op_type, version, "")


def _lowered(model: onnx.ModelProto, version: int) -> onnx.ModelProto:
    """Without operators newer than OPSET, those of HIDDEN in their old form already."""
    newer = [node.op_type for node in model.graph.node if not _exists(node, OPSET)]
    lowered = inliner.inline_selected_functions(
        _spelled_out(model, version),
        [("", name) for name in sorted(set(newer))],
        inline_schema_functions=True,
    )
    missing = _unknown(lowered)
    if missing:
        raise _refusal(version, f"it lacks {_listed(missing)}")
    for node in lowered.graph.node:
        if node.op_type in SAME:
            _lower(node, version)
            node.domain = HIDDEN
        else:
            _drop_new_attributes(node, version)
    lowered.opset_import.append(helper.make_opsetid(HIDDEN, 1))
    return lowered


def _spelled_out(model: onnx.ModelProto, version: int) -> onnx.ModelProto:
    """With what the inliner needs to see: types of constants, defaults of newer operators."""
    spelled = deepcopy(model)
    spelled.graph.value_info.extend(
        helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        for tensor in model.graph.initializer
    )
    for node in spelled.graph.node:
        if not _exists(node, OPSET):
            given = {attribute.name for attribute in node.attribute}
            known = onnx.defs.get_schema(node.op_type, version, "").attributes
            node.attribute.extend(
                attribute.default_value
                for name, attribute in known.items()
                if name not in given and attribute.default_value.name
            )
    return spelled


def _lower(node: onnx.NodeProto, version: int) -> None:
    attributes = {attribute.name: attribute for attribute in node.attribute}
    over_axes = node.op_type == "Pad" and len(node.input) > 3 and node.input[3]
    if over_axes or ("mode" in attributes and attributes["mode"].s == b"wrap"):
        raise _refusal(version, "Pad of chosen axes, or that wraps")
    if "num_outputs" in attributes:  # into equal parts, which is what no sizes mean before
        node.attribute.remove(attributes["num_outputs"])


def _drop_new_attributes(node: onnx.NodeProto, version: int) -> None:
    """Those that OPSET does not have and that say what was always so."""
    old, new = (onnx.defs.get_schema(node.op_type, at, "").attributes for at in (OPSET, version))
    for attribute in [each for each in node.attribute if each.name not in old]:
        default = new[attribute.name].default_value
        if default.name:
            value, usual = (helper.get_attribute_value(each) for each in (attribute, default))
            if value != usual:
                raise _refusal(version, f"{node.op_type} with {attribute.name} {value}")
            node.attribute.remove(attribute)


def _shown(model: onnx.ModelProto) -> onnx.ModelProto:
    for node in model.graph.node:
        if node.domain == HIDDEN:
            node.domain = ""
    del model.graph.value_info[:]  # those behind hidden nodes are without type
    kept = [opset for opset in model.opset_import if opset.domain != HIDDEN]
    replace_field(model.opset_import, kept)
    return model


def _with_coordinates(model: onnx.ModelProto, version: int) -> onnx.ModelProto:
    """Say of each Resize which pixels it takes, as it was when Resize and Upsample had no choice.

    onnx's converter leaves today's default in its place, which is another.
    """
    if version > LAST_WITHOUT_COORDINATES:
        return model
    scales = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Resize":
            shrinks = any((scales.get(name, np.ones(1)) < 1).any() for name in node.input[2:3])
            wanted = {
                "coordinate_transformation_mode": "asymmetric",
                "nearest_mode": "ceil" if shrinks else "floor",  # as onnxruntime reads it
            }
            kept = [each for each in node.attribute if each.name not in wanted]
            replace_field(node.attribute, kept)
            node.attribute.extend(helper.make_attribute(*pair) for pair in wanted.items())
    return model


def _unknown(model: onnx.ModelProto) -> list[str]:
    return sorted({node.op_type for node in model.graph.node if not _exists(node, OPSET)})


def _refusal(version: int, why: str) -> ConvertError:
    return ConvertError(
        f"the graph is of opset {version} and cannot be brought to {OPSET}: {why}. "
        f"Export it again with opset {OPSET}"
    )


def _listed(names: Sequence[str]) -> str:
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more} more" if more > 0 else "")

"""Convert graphs of older and newer ONNX versions to one: OPSET."""

from collections.abc import Sequence
from copy import deepcopy

import numpy as np
import onnx
from onnx import helper, inliner, numpy_helper, version_converter

from convert.errors import ConvertError
from convert.export.graph.surgery import replace_field

OPSET = 17  # newest of torch's tracing exporter; per-channel QuantizeLinear needs 13
LAST_WITHOUT_COORDINATES = 10  # newest opset whose Resize has no coordinate_transformation_mode
# onnx's converter cannot lower these operators, although their older versions compute the same:
# they are lowered here, and hidden from the converter in a domain of their own
LOWERED_HERE = ("ConstantOfShape", "Pad", "Split")
HIDDEN_DOMAIN = "slipway.same"
MAX_LISTED = 4  # operators named in an error


def convert_opset(model: onnx.ModelProto) -> onnx.ModelProto:
    """Convert a graph of an older or newer ONNX version to OPSET.

    Functions are inlined. So are newer operators that ONNX itself defines by older ones, as Gelu.

    Raises:
        ConvertError: an operator is not standard ONNX, or has no equivalent at OPSET.
    """
    plain = inliner.inline_local_functions(model) if model.functions else model
    _refuse_custom(plain)
    version = opset_of(plain)
    if version == OPSET:
        return plain
    try:
        if version > OPSET:
            lowered = version_converter.convert_version(_lower_operators(plain, version), OPSET)
            return _unhide(lowered)
        upgraded = version_converter.convert_version(plain, OPSET)
        return _restore_coordinates(upgraded, version)
    except ConvertError:
        raise
    except Exception as error:  # the converter raises RuntimeError, and its own C++ types
        reason = " ".join(str(error).split()).rpartition("failed: ")[2][:200]
        raise _refusal(version, reason) from error


def opset_of(model: onnx.ModelProto) -> int:
    """Return the version of standard ONNX that a graph uses; 0: it does not say."""
    domains = {opset.domain: opset.version for opset in model.opset_import}
    return domains.get("", domains.get("ai.onnx", 0))


def require_standard_operators(model: onnx.ModelProto, message: str) -> None:
    """Check that ONNX defines every operator at OPSET.

    Raises:
        ConvertError: `message`, followed by the names of the other operators.
    """
    unknown = _unknown_operators(model)
    if unknown:
        raise ConvertError(f"{message}: {_list_names(unknown)}")


def _refuse_custom(model: onnx.ModelProto) -> None:
    custom = {(node.domain, node.op_type) for node in model.graph.node if not _is_standard(node)}
    if custom:
        names = _list_names([f"{domain}.{name}" for domain, name in sorted(custom)])
        raise ConvertError(
            f"the graph uses the operators {names}; allowed: standard ONNX. "
            "Export it without vendor's operators and before any optimisation or quantization"
        )


def _is_standard(node: onnx.NodeProto) -> bool:
    return node.domain in ("", "ai.onnx")


def _exists(node: onnx.NodeProto, version: int) -> bool:
    return _is_standard(node) and onnx.defs.has(node.op_type, version, "")


def _lower_operators(model: onnx.ModelProto, version: int) -> onnx.ModelProto:
    """Replace operators newer than OPSET, and lower and hide those of LOWERED_HERE."""
    newer = [node.op_type for node in model.graph.node if not _exists(node, OPSET)]
    lowered = inliner.inline_selected_functions(
        _with_explicit_defaults(model, version),
        [("", name) for name in sorted(set(newer))],
        inline_schema_functions=True,
    )
    missing = _unknown_operators(lowered)
    if missing:
        raise _refusal(version, f"it lacks {_list_names(missing)}")
    for node in lowered.graph.node:
        if node.op_type in LOWERED_HERE:
            _lower(node, version)
            node.domain = HIDDEN_DOMAIN
        else:
            _drop_new_attributes(node, version)
    lowered.opset_import.append(helper.make_opsetid(HIDDEN_DOMAIN, 1))
    return lowered


def _with_explicit_defaults(model: onnx.ModelProto, version: int) -> onnx.ModelProto:
    """Write out types of constants and defaults of newer operators: the inliner needs them."""
    explicit = deepcopy(model)
    explicit.graph.value_info.extend(
        helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        for tensor in model.graph.initializer
    )
    for node in explicit.graph.node:
        if not _exists(node, OPSET):
            present = {attribute.name for attribute in node.attribute}
            schema = onnx.defs.get_schema(node.op_type, version, "")
            node.attribute.extend(
                attribute.default_value
                for name, attribute in schema.attributes.items()
                if name not in present and attribute.default_value.name
            )
    return explicit


def _lower(node: onnx.NodeProto, version: int) -> None:
    """Bring one of LOWERED_HERE to its older form, in place."""
    attributes = {attribute.name: attribute for attribute in node.attribute}
    over_axes = node.op_type == "Pad" and len(node.input) > 3 and node.input[3]
    if over_axes or ("mode" in attributes and attributes["mode"].s == b"wrap"):
        raise _refusal(version, "Pad with axes, or with mode 'wrap'")
    if "num_outputs" in attributes:  # equal parts: what a Split without sizes meant before
        node.attribute.remove(attributes["num_outputs"])


def _drop_new_attributes(node: onnx.NodeProto, version: int) -> None:
    """Remove attributes that OPSET does not have, where they have their default.

    Raises:
        ConvertError: such an attribute has another value.
    """
    old, new = (onnx.defs.get_schema(node.op_type, at, "").attributes for at in (OPSET, version))
    for attribute in [a for a in node.attribute if a.name not in old]:
        default = new[attribute.name].default_value
        if default.name:
            value = helper.get_attribute_value(attribute)
            if value != helper.get_attribute_value(default):
                raise _refusal(version, f"{node.op_type} with {attribute.name} {value}")
            node.attribute.remove(attribute)


def _unhide(model: onnx.ModelProto) -> onnx.ModelProto:
    """Move the operators of HIDDEN_DOMAIN back to standard ONNX, in place."""
    for node in model.graph.node:
        if node.domain == HIDDEN_DOMAIN:
            node.domain = ""
    del model.graph.value_info[:]  # the converter wrote values after hidden nodes without a type
    opsets = [opset for opset in model.opset_import if opset.domain != HIDDEN_DOMAIN]
    replace_field(model.opset_import, opsets)
    return model


def _restore_coordinates(model: onnx.ModelProto, version: int) -> onnx.ModelProto:
    """State which pixels each Resize takes, in place, as old Resize and Upsample had it.

    They had no choice. onnx's converter leaves the attributes out, and today's defaults differ.
    """
    if version > LAST_WITHOUT_COORDINATES:
        return model
    scales = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Resize":
            shrinks = any((scales.get(name, np.ones(1)) < 1).any() for name in node.input[2:3])
            attributes = {
                "coordinate_transformation_mode": "asymmetric",
                "nearest_mode": "ceil" if shrinks else "floor",  # as onnxruntime reads it
            }
            others = [a for a in node.attribute if a.name not in attributes]
            replace_field(node.attribute, others)
            node.attribute.extend(helper.make_attribute(*pair) for pair in attributes.items())
    return model


def _unknown_operators(model: onnx.ModelProto) -> list[str]:
    return sorted({node.op_type for node in model.graph.node if not _exists(node, OPSET)})


def _refusal(version: int, reason: str) -> ConvertError:
    return ConvertError(
        f"the graph is of opset {version} and cannot be converted to {OPSET}: {reason}. "
        f"Export it again with opset {OPSET}"
    )


def _list_names(names: Sequence[str]) -> str:
    more = len(names) - MAX_LISTED
    return ", ".join(names[:MAX_LISTED]) + (f" and {more} more" if more > 0 else "")

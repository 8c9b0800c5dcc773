"""Read ONNX files whole, and refuse those that cannot be packaged."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx
from onnx.external_data_helper import (
    ExternalDataInfo,
    load_external_data_for_model,
    uses_external_data,
)

from convert.checkpoint import detect_kind, require_kind
from convert.errors import CheckpointError
from convert.export.graph.opset import opset_of
from runtime.errors import one_line

MAX_BYTES = 2**31 - 1  # of one protobuf message, as packaged graphs are
OLDEST_OPSET = 7  # oldest that onnxruntime runs
QUANTIZED_OPERATORS = frozenset(
    {
        *("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"),
        *("QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"),
    }
)

HALF_PRECISION = (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)


def read_onnx(path: Path) -> onnx.ModelProto:
    """Read a model with its weights, also those in files of their own.

    Raises:
        CheckpointError: it is no ONNX file, damaged, over 2 GB, without the files of its weights,
            older than onnxruntime runs, quantized already, or of half precision.
    """
    require_kind(path, "onnx")
    _refuse_size(path, [path])
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf documents no exception types
        raise _invalid(path, error) from error
    external = _external_data_paths(model, path)
    missing = [file.name for file in external if not file.is_file()]
    if missing:
        raise CheckpointError(
            f"{path}: its weights are in {', '.join(missing)}, which must be in the same folder"
        )
    _refuse_size(path, [path, *external])
    try:
        load_external_data_for_model(model, str(path.parent))
        onnx.checker.check_model(model)
    except Exception as error:  # the checker has exceptions of its own
        raise _invalid(path, error) from error
    _refuse_content(path, model)
    return model


def external_data_files(path: Path) -> tuple[Path, ...]:
    """Return the files that hold an ONNX file's weights.

    There are none for a checkpoint of another kind, or a damaged one: `read_onnx` refuses that.
    """
    try:
        if detect_kind(path) != "onnx":
            return ()
        return _external_data_paths(onnx.load(path, load_external_data=False), path)
    except Exception:  # protobuf documents no exception types
        return ()


def _external_data_paths(model: onnx.ModelProto, path: Path) -> tuple[Path, ...]:
    names = {
        ExternalDataInfo(tensor).location
        for tensor in model.graph.initializer
        if uses_external_data(tensor)
    }
    return tuple(path.parent / name for name in sorted(names))


def _refuse_size(path: Path, files: Sequence[Path]) -> None:
    size = sum(file.stat().st_size for file in files)
    if size > MAX_BYTES:
        raise CheckpointError(
            f"{path}: {size / 1e9:.1f} GB with its weights; a graph has at most 2.1 GB"
        )


def _refuse_content(path: Path, model: onnx.ModelProto) -> None:
    version = opset_of(model)
    if version < OLDEST_OPSET:
        raise CheckpointError(
            f"{path}: of opset {version}; onnxruntime runs {OLDEST_OPSET} and newer; export again"
        )
    quantized = QUANTIZED_OPERATORS.intersection(node.op_type for node in model.graph.node)
    if quantized:
        raise CheckpointError(
            f"{path}: quantized already ({', '.join(sorted(quantized))}); "
            "convert the float model that it was made from"
        )
    half = [tensor.name for tensor in _constants(model.graph) if tensor.data_type in HALF_PRECISION]
    if half:
        raise CheckpointError(
            f"{path}: its weights are in half precision ({len(half)} tensors); "
            "export it in float32; the conversion quantizes it"
        )


def _constants(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        if node.op_type == "Constant":
            yield from (attribute.t for attribute in node.attribute if attribute.HasField("t"))


def _invalid(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"{path}: not a valid ONNX file: {one_line(error)}")

"""The configuration of a model in the form of Triton, as perf_analyzer reads it."""

import math
from typing import TypedDict

from runtime import Model
from runtime.artifact.manifest import TensorSpec
from runtime.artifact.spec import DATATYPES, numpy_dtype
from serve.protocol_v2.tensors import metadata
from serve.scheduling.rows import batch_axis

MOST_ROWS = 1024  # that a configuration names; a request may have more


class SpecificJson(TypedDict):
    """The versions of a policy."""

    versions: list[int]


class VersionPolicyJson(TypedDict):
    """The versions that are served."""

    specific: SpecificJson


class ConfigTensorJson(TypedDict):
    """An input or output, without the axis of the batch."""

    name: str
    data_type: str
    dims: list[int]


class InstanceGroupJson(TypedDict):
    """The processor that runs the model."""

    name: str
    kind: str
    count: int


class TransactionPolicyJson(TypedDict):
    """An answer for each request."""

    decoupled: bool


class ConfigJson(TypedDict):
    """The configuration of a model in the form of Triton."""

    name: str
    platform: str
    backend: str
    version_policy: VersionPolicyJson
    max_batch_size: int
    input: list[ConfigTensorJson]
    output: list[ConfigTensorJson]
    instance_group: list[InstanceGroupJson]
    default_model_filename: str
    parameters: dict[str, str]
    model_transaction_policy: TransactionPolicyJson


def model_config(model: Model, *, body_bytes: int) -> ConfigJson:
    """Return the configuration; `max_batch_size` is 0 if a tensor does not begin with rows.

    Args:
        model: the model.
        body_bytes: of the largest request.
    """
    spec = model.spec
    has_rows = batch_axis(spec) is not None
    row_bytes = sum(_row_bytes(tensor) for tensor in spec.inputs)
    rows = max(1, min(MOST_ROWS, body_bytes // row_bytes)) if has_rows else 0
    name = f"{model.variant.name}.onnx"
    return {
        "name": spec.id,
        "platform": "onnxruntime_onnx",
        "backend": "onnxruntime",
        "version_policy": {"specific": {"versions": [model.manifest.version]}},
        "max_batch_size": rows,
        "input": [_entry(tensor, has_rows=has_rows) for tensor in spec.inputs],
        "output": [_entry(tensor, has_rows=has_rows) for tensor in spec.outputs],
        "instance_group": [{"name": spec.id, "kind": "KIND_CPU", "count": 1}],
        "default_model_filename": name,
        "parameters": {},
        "model_transaction_policy": {"decoupled": False},
    }


def _entry(tensor: TensorSpec, *, has_rows: bool) -> ConfigTensorJson:
    datatype = "STRING" if tensor.dtype == "string" else DATATYPES[tensor.dtype]
    dims = metadata(tensor)["shape"][1 if has_rows else 0 :]
    return {"name": tensor.name, "data_type": f"TYPE_{datatype}", "dims": dims}


def _row_bytes(tensor: TensorSpec) -> int:
    """Return the fewest bytes of a row: an axis of any size counts as 1."""
    sizes = (axis for axis in tensor.shape if isinstance(axis, int))
    return math.prod(sizes) * numpy_dtype(tensor.dtype).itemsize

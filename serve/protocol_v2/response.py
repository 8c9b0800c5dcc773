"""Encode the outputs of a run as the answer to an infer request."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from starlette.responses import Response

from runtime import Model
from runtime.artifact.manifest import Spec
from runtime.artifact.spec import DATATYPES
from runtime.errors import TooLargeError
from serve.errors import json_response
from serve.protocol_v2.chunks import axes_of
from serve.protocol_v2.classification import best_classes
from serve.protocol_v2.json_numbers import to_json
from serve.protocol_v2.request import HEADER_LENGTH, InferRequest
from serve.protocol_v2.tensors import Array, to_bytes
from serve.repository.provenance import provenance_of

# JSON of 2**20 float32 has some 11 MB; as bytes they are 4 MB.
MAX_JSON_NUMBERS = 2**20


def encode_response(
    model: Model,
    request: InferRequest,
    outputs: Mapping[str, Array],
    warnings: Sequence[str] = (),
) -> Response:
    """Return the response: JSON, or JSON and then the bytes of the binary outputs, in order.

    Raises:
        InputError: an output that is not binary holds NaN or infinity.
        TooLargeError: the outputs that are not binary hold too many numbers, or the classes are too
            many strings.
    """
    check_json_size(request, {name: array.size for name, array in outputs.items()})
    datatypes = {tensor.name: DATATYPES[tensor.dtype] for tensor in model.spec.outputs}
    entries: list[dict[str, Any]] = []
    tail: list[bytes] = []
    for output in request.outputs:
        array, datatype = outputs[output.name], datatypes[output.name]
        if output.classes:
            array, datatype = best_classes(array, output.classes, model.spec.labels), "BYTES"
        entry: dict[str, Any] = {"name": output.name, "datatype": datatype, "shape": array.shape}
        if output.binary:
            tail.append(to_bytes(array))
            entry["parameters"] = {"binary_data_size": len(tail[-1])}
        else:
            entry["data"] = to_json(output.name, array)
        entries.append(entry)
    envelope = {"model_name": model.spec.id, "model_version": str(model.manifest.version)}
    identity = {} if request.id is None else {"id": request.id}
    content = {**envelope, **identity, "outputs": entries}
    headers = provenance_of(model, warnings).headers
    if not tail:
        return json_response(content, headers=headers)
    head = orjson.dumps(content)
    headers[HEADER_LENGTH] = str(len(head))
    return Response(b"".join([head, *tail]), 200, headers, "application/octet-stream")


def sizes_before_the_run(request: InferRequest, spec: Spec) -> Mapping[str, int]:
    """Return the fewest elements of each output: the axes that no input has count as 1."""
    axes = axes_of(request.feeds, spec)
    return {
        tensor.name: math.prod(
            axes.get(axis, 1) if isinstance(axis, str) else axis for axis in tensor.shape
        )
        for tensor in spec.outputs
    }


def check_json_size(request: InferRequest, sizes: Mapping[str, int]) -> None:
    """Refuse an answer with more numbers in JSON than MAX_JSON_NUMBERS (TooLargeError)."""
    outputs = (o for o in request.outputs if not o.binary and not o.classes)
    count = sum(sizes[output.name] for output in outputs)
    if count > MAX_JSON_NUMBERS:
        raise TooLargeError(
            f"the outputs have {count} numbers; allowed as JSON: {MAX_JSON_NUMBERS}; ask for them "
            'as bytes: "parameters": {"binary_data_output": true}, or send fewer rows'
        )

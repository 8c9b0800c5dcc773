"""Infer requests and responses of the Open Inference Protocol, with binary tensors."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.responses import Response

from runtime import Model
from runtime.artifact.manifest import Resample, Spec, TensorSpec
from runtime.artifact.spec import DATATYPES
from runtime.errors import InputError, TooLargeError
from serve.errors import json_response
from serve.protocol_v2 import json_request
from serve.protocol_v2.chunks import run_in_chunks
from serve.protocol_v2.json_numbers import from_json, to_json
from serve.protocol_v2.json_request import RequestJson
from serve.protocol_v2.tensors import (
    Array,
    check_header,
    from_bytes,
    header_of_raw,
    to_bytes,
)
from serve.protocol_v2.timeout import parse_timeout
from serve.repository.provenance import provenance_of
from serve.text.integers import parse_integer
from serve.text.messages import json_type, repr_truncated

HEADER_LENGTH = "Inference-Header-Content-Length"
MAX_ID_CHARACTERS = 1024
# JSON of 2**20 float32 has some 11 MB; as bytes they are 4 MB.
MAX_JSON_NUMBERS = 2**20
UNSUPPORTED = (
    "shared_memory_region",
    "classification",
)  # parameters of extensions that are not offered


@dataclass(frozen=True, slots=True)
class RequestedOutput:
    """An output that the client asks for."""

    name: str
    binary: bool  # as bytes after the JSON, not as a JSON list


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A parsed infer request; every tensor has the model's dtype and shape."""

    id: str | None
    feeds: Mapping[str, Array]
    outputs: tuple[RequestedOutput, ...]  # in the order of the response


def infer(
    model: Model, body: bytes, header_length: str | None, *, max_audio_s: float = 30.0
) -> Response:
    """Parse an infer request, run the model and encode the response.

    Args:
        model: the model to run.
        body: JSON, then the bytes of the binary inputs.
        header_length: the value of the header HEADER_LENGTH, the number of bytes of JSON; None if
            all is JSON.
        max_audio_s: longest waveform, in seconds.

    Raises:
        InputError: the request does not fit the model, or an output that it requests as JSON holds
            NaN or infinity; the message names the tensor and what is allowed.
        TooLargeError: a waveform is too long, or so is the JSON of the request or of the answer.
    """
    request = parse_request(body, header_length, model.spec)
    _check_waveform(request.feeds, model.spec, max_audio_s)
    _check_json_size(request, _sizes_before_the_run(request, model.spec))
    outputs = run_in_chunks(model, request.feeds, [output.name for output in request.outputs])
    return encode_response(model, request, outputs)


def parse_request(body: bytes, header_length: str | None, spec: Spec) -> InferRequest:
    """Parse a request and check it against the model's spec.

    With the length "0" the body is the bytes of the model's only input, and every output is
    requested as bytes.

    Raises:
        InputError: the request is not JSON of the protocol, or does not fit the model.
        TooLargeError: its JSON is too large without the data.
    """
    length = _json_length(body, header_length)
    if header_length is not None and length == 0:
        return _parse_raw(body, spec)
    request = json_request.load(body, length)
    request_id = _request_id(request.content)
    parse_timeout(_parameters(request.content, "the request"))
    feeds = _parse_inputs(request, memoryview(body)[length:], spec)
    return InferRequest(request_id, feeds, _parse_outputs(request.content, spec))


def encode_response(model: Model, request: InferRequest, outputs: Mapping[str, Array]) -> Response:
    """Return the response: JSON, or JSON and then the bytes of the binary outputs, in order.

    Raises:
        InputError: an output that is not binary holds NaN or infinity.
        TooLargeError: the outputs that are not binary hold too many numbers.
    """
    _check_json_size(request, {name: array.size for name, array in outputs.items()})
    datatypes = {tensor.name: DATATYPES[tensor.dtype] for tensor in model.spec.outputs}
    entries: list[dict[str, Any]] = []
    tail: list[bytes] = []
    for output in request.outputs:
        array = outputs[output.name]
        datatype = datatypes[output.name]
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
    headers = provenance_of(model).headers
    if not tail:
        return json_response(content, headers=headers)
    head = orjson.dumps(content)
    headers[HEADER_LENGTH] = str(len(head))
    return Response(b"".join([head, *tail]), 200, headers, "application/octet-stream")


def _sizes_before_the_run(request: InferRequest, spec: Spec) -> Mapping[str, int]:
    """Return the fewest elements of each output: the axes that no input has count as 1."""
    axes = {
        axis: size
        for tensor in spec.inputs
        for axis, size in zip(tensor.shape, request.feeds[tensor.name].shape, strict=True)
        if isinstance(axis, str)
    }
    return {
        tensor.name: math.prod(
            axes.get(axis, 1) if isinstance(axis, str) else axis for axis in tensor.shape
        )
        for tensor in spec.outputs
    }


def _check_json_size(request: InferRequest, sizes: Mapping[str, int]) -> None:
    """Refuse an answer with more numbers in JSON than MAX_JSON_NUMBERS."""
    count = sum(sizes[output.name] for output in request.outputs if not output.binary)
    if count > MAX_JSON_NUMBERS:
        raise TooLargeError(
            f"the outputs have {count} numbers; allowed as JSON: {MAX_JSON_NUMBERS}; ask for them "
            'as bytes: "parameters": {"binary_data_output": true}, or send fewer rows'
        )


def _check_waveform(feeds: Mapping[str, Array], spec: Spec, max_audio_s: float) -> None:
    """Refuse a waveform longer than `max_audio_s` at the sampling rate of the spec."""
    for step in spec.preprocess:
        if isinstance(step, Resample):
            samples, longest = feeds["waveform"].shape[-1], int(max_audio_s * step.sampling_rate)
            if samples > longest:
                allowed = f"{longest}, {max_audio_s:g} s"
                raise TooLargeError(f"input 'waveform' has {samples} samples; allowed: {allowed}")


def _json_length(body: bytes, header_length: str | None) -> int:
    """Return the number of bytes of JSON at the start of the body; refuse more than it has."""
    if header_length is None:
        return len(body)
    length = parse_integer(header_length.strip(), 0, len(body))
    if length is None:
        raise InputError(
            f"{HEADER_LENGTH} is {repr_truncated(header_length)}; "
            f"allowed: an integer, 0 to {len(body)}, the size of the body"
        )
    return length


def _request_id(content: Mapping[str, Any]) -> str | None:
    """Return the id that the answer repeats; refuse one that is no string, or too long."""
    request_id = content.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise InputError(f"id is {repr_truncated(request_id)}; allowed: a string")
    if request_id is not None and len(request_id) > MAX_ID_CHARACTERS:
        raise TooLargeError(f"id has {len(request_id)} characters; allowed: {MAX_ID_CHARACTERS}")
    return request_id


def _parse_raw(body: bytes, spec: Spec) -> InferRequest:
    """Parse a body without JSON: the bytes of the only input; request all outputs as bytes."""
    if len(spec.inputs) != 1:
        names = ", ".join(tensor.name for tensor in spec.inputs)
        raise InputError(f"a raw request needs a model of one input; {spec.id} takes {names}")
    header = header_of_raw(spec.inputs[0], len(body))
    feeds = {header.spec.name: from_bytes(header, memoryview(body))}
    return InferRequest(
        None, feeds, tuple(RequestedOutput(tensor.name, binary=True) for tensor in spec.outputs)
    )


def _parse_inputs(request: RequestJson, tail: memoryview, spec: Spec) -> dict[str, Array]:
    """Return the array of every input of the spec; the binary ones follow each other in `tail`."""
    tensors = {tensor.name: tensor for tensor in spec.inputs}
    feeds: dict[str, Array] = {}
    for entry in _objects(request.content, "inputs"):
        tensor = tensors[_name(entry, "input", tensors, feeds)]
        feeds[tensor.name], size = _parse_input(entry, request, tensor, tail)
        tail = tail[size:]
    for name in tensors:
        if name not in feeds:
            raise InputError(f"input {name!r} is missing; {spec.id} takes {', '.join(tensors)}")
    if len(tail):
        raise InputError(f"the body has {len(tail)} bytes after the last input; allowed: none")
    _check_axes(feeds, spec)
    return feeds


def _parse_input(
    entry: Mapping[str, Any], request: RequestJson, tensor: TensorSpec, tail: memoryview
) -> tuple[Array, int]:
    """Return the array of an input, and the number of bytes of the tail that it uses."""
    header = check_header(tensor, datatype=entry.get("datatype"), shape=entry.get("shape"))
    place = f"input {tensor.name!r}"
    size = _parameters(entry, place).get("binary_data_size")
    if (size is None) == ("data" not in entry):
        count = "neither" if size is None else "both"
        raise InputError(f"{place} has {count} of data and binary_data_size; allowed: one")
    if size is None:
        return from_json(header, request.data_of(entry)), 0
    if type(size) is not int or size != header.size_bytes:
        raise InputError(
            f"{place} has binary_data_size {repr_truncated(size)}; allowed: {header.size_bytes}, "
            f"as its shape is {list(header.shape)}"
        )
    if size > len(tail):
        raise InputError(f"{place} has {size} bytes; the body holds {len(tail)} for it")
    return from_bytes(header, tail[:size]), size


def _check_axes(feeds: Mapping[str, Array], spec: Spec) -> None:
    """Check that an axis of any size, such as N, has the same size in all inputs that have it."""
    sizes: dict[str, tuple[int, str]] = {}
    for tensor in spec.inputs:
        for axis, size in zip(tensor.shape, feeds[tensor.name].shape, strict=True):
            if not isinstance(axis, str):
                continue
            expected, first = sizes.setdefault(axis, (size, tensor.name))
            if size != expected:
                raise InputError(
                    f"input {tensor.name!r} has size {size} on axis {axis}; "
                    f"allowed: {expected}, as input {first!r} has"
                )


def _parse_outputs(content: Mapping[str, Any], spec: Spec) -> tuple[RequestedOutput, ...]:
    """Return the outputs that a request lists, or all if it lists none.

    `binary_data` of an output overrides `binary_data_output` of the request.
    """
    parameters = _parameters(content, "the request")
    binary = _flag(parameters, "binary_data_output", False, "the request")
    tensors = {tensor.name: tensor for tensor in spec.outputs}
    if not content.get("outputs"):
        return tuple(RequestedOutput(name, binary) for name in tensors)
    outputs: dict[str, RequestedOutput] = {}
    for entry in _objects(content, "outputs"):
        name = _name(entry, "output", tensors, outputs)
        place = f"output {name!r}"
        own = _flag(_parameters(entry, place), "binary_data", binary, place)
        outputs[name] = RequestedOutput(name, own)
    return tuple(outputs.values())


def _name(
    entry: Mapping[str, Any], kind: str, names: Mapping[str, object], parsed: Mapping[str, object]
) -> str:
    """Return the name of an entry, which must be one of the model's and not yet parsed."""
    name = entry.get("name")
    if not isinstance(name, str) or name not in names:
        raise InputError(f"{kind} {repr_truncated(name)} is unknown; known: {', '.join(names)}")
    if name in parsed:
        raise InputError(f"{kind} {name!r} is given twice; allowed: once")
    return name


def _parameters(holder: Mapping[str, Any], place: str) -> Mapping[str, Any]:
    """Return the `parameters` of a request, input or output; refuse those of UNSUPPORTED."""
    parameters = _object(holder.get("parameters") or {}, f"parameters of {place}")
    for name in UNSUPPORTED:
        if name in parameters:
            raise InputError(f"{place} has the parameter {name!r}, which is not supported")
    return parameters


def _flag(parameters: Mapping[str, Any], name: str, default: bool, place: str) -> bool:
    """Return a parameter that must be true or false."""
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise InputError(f"{name} of {place} is {repr_truncated(value)}; allowed: true or false")
    return value


def _objects(content: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """Return the field `name`, which must be a list of objects."""
    entries = content.get(name)
    if not isinstance(entries, list):
        raise InputError(f"{name} is {json_type(entries)}; allowed: a list of objects")
    return [_object(entry, f"{name}[{index}]") for index, entry in enumerate(entries)]


def _object(value: Any, place: str) -> Mapping[str, Any]:
    """Return a value that must be an object; `place` names it in the message."""
    if not isinstance(value, dict):
        raise InputError(f"{place} is {json_type(value)}; allowed: an object")
    return value

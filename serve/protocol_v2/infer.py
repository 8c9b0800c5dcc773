"""The Open Inference Protocol's infer request and response, with binary tensors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.responses import Response

from runtime import Model
from runtime.artifact.manifest import Resample, Spec, TensorSpec
from runtime.artifact.spec import DATATYPES
from runtime.errors import InputError, TooLargeError
from serve.catalog.facts import facts_of
from serve.errors import json_response
from serve.protocol_v2.chunks import run_in_chunks
from serve.protocol_v2.tensors import (
    Array,
    declare,
    declare_raw,
    from_bytes,
    from_json,
    to_bytes,
    to_flat_list,
)
from serve.text.integers import parse_integer
from serve.text.quoting import json_kind, quoted

HEADER_LENGTH = "Inference-Header-Content-Length"
# Python objects that JSON may become: 10 MB of "{}," would take 400 MB. Numbers are not counted,
# and an image of 640 x 480 px nested to its pixels needs some 308,000 lists.
JSON_LIMITS = {b"{": 4096, b"[": 2**20, b'"': 2**16}
UNSUPPORTED = ("shared_memory_region", "classification")  # parameters of extensions not offered


@dataclass(frozen=True, slots=True)
class WantedOutput:
    """An output of the response."""

    name: str
    binary: bool


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A request whose every tensor fits the model."""

    id: str | None
    feeds: Mapping[str, Array]
    outputs: tuple[WantedOutput, ...]  # in the order of the response


def infer(
    model: Model, body: bytes, header_length: str | None, *, max_audio_s: float = 30.0
) -> Response:
    """Answer one infer request.

    Args:
        model: who answers.
        body: JSON, then the bytes of the binary inputs.
        header_length: the header that says where the JSON ends; None where all of it is JSON.
        max_audio_s: longest waveform.

    Raises:
        InputError: the message names the tensor and says what is allowed.
    """
    request = parse_request(body, header_length, model.spec)
    _check_waveform(request.feeds, model.spec, max_audio_s)
    outputs = run_in_chunks(model, request.feeds, [wanted.name for wanted in request.outputs])
    return encode_response(model, request, outputs)


def parse_request(body: bytes, header_length: str | None, spec: Spec) -> InferRequest:
    """Read a request; "0" as the length means that the body is the only input's bytes."""
    length = _json_length(body, header_length)
    if header_length is not None and length == 0:
        return _parse_raw(body, spec)
    _check_structure(body, length)
    try:
        content = orjson.loads(memoryview(body)[:length])
    except orjson.JSONDecodeError as error:
        raise InputError(f"the request is not JSON: {error}") from error
    content = _object(content, "the request")
    request_id = content.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise InputError(f"id is {quoted(request_id)}; allowed: a string")
    feeds = _parse_inputs(_objects(content, "inputs"), memoryview(body)[length:], spec)
    return InferRequest(request_id, feeds, _parse_outputs(content, spec))


def encode_response(model: Model, request: InferRequest, outputs: Mapping[str, Array]) -> Response:
    """JSON, or JSON followed by the bytes of the binary outputs in the same order."""
    datatypes = {tensor.name: DATATYPES[tensor.dtype] for tensor in model.spec.outputs}
    entries: list[dict[str, Any]] = []
    tail: list[bytes] = []
    for wanted in request.outputs:
        array = outputs[wanted.name]
        datatype = datatypes[wanted.name]
        entry: dict[str, Any] = {"name": wanted.name, "datatype": datatype, "shape": array.shape}
        if wanted.binary:
            tail.append(to_bytes(array))
            entry["parameters"] = {"binary_data_size": len(tail[-1])}
        else:
            entry["data"] = to_flat_list(wanted.name, array)
        entries.append(entry)
    envelope = {"model_name": model.spec.id, "model_version": str(model.manifest.version)}
    identity = {} if request.id is None else {"id": request.id}
    content = {**envelope, **identity, "outputs": entries}
    headers = facts_of(model).headers
    if not tail:
        return json_response(content, headers=headers)
    head = orjson.dumps(content)
    headers[HEADER_LENGTH] = str(len(head))
    return Response(b"".join([head, *tail]), 200, headers, "application/octet-stream")


def _check_waveform(feeds: Mapping[str, Array], spec: Spec, max_audio_s: float) -> None:
    for step in spec.preprocess:
        if isinstance(step, Resample):
            samples, longest = feeds["waveform"].shape[-1], int(max_audio_s * step.sampling_rate)
            if samples > longest:
                allowed = f"{longest}, {max_audio_s:g} s"
                raise TooLargeError(f"input 'waveform' has {samples} samples; allowed: {allowed}")


def _json_length(body: bytes, header_length: str | None) -> int:
    if header_length is None:
        return len(body)
    length = parse_integer(header_length.strip(), 0, len(body))
    if length is None:
        raise InputError(
            f"{HEADER_LENGTH} is {quoted(header_length)}; "
            f"allowed: an integer, 0 to {len(body)}, the size of the body"
        )
    return length


def _check_structure(body: bytes, length: int) -> None:
    for mark, limit in JSON_LIMITS.items():
        found = body.count(mark, 0, length)
        if found > limit:
            raise InputError(
                f"the JSON has {found} of the character {mark.decode()}; allowed: {limit}; "
                "binary tensors need none"
            )


def _parse_raw(body: bytes, spec: Spec) -> InferRequest:
    if len(spec.inputs) != 1:
        names = ", ".join(tensor.name for tensor in spec.inputs)
        raise InputError(f"a raw request needs a model of one input; {spec.id} takes {names}")
    declared = declare_raw(spec.inputs[0], len(body))
    feeds = {declared.spec.name: from_bytes(declared, memoryview(body))}
    return InferRequest(
        None, feeds, tuple(WantedOutput(tensor.name, binary=True) for tensor in spec.outputs)
    )


def _parse_inputs(
    entries: Sequence[Mapping[str, Any]], tail: memoryview, spec: Spec
) -> dict[str, Array]:
    known = {tensor.name: tensor for tensor in spec.inputs}
    feeds: dict[str, Array] = {}
    for entry in entries:
        tensor = known[_name(entry, "input", known, feeds)]
        feeds[tensor.name], used = _parse_input(entry, tensor, tail)
        tail = tail[used:]
    for name in known:
        if name not in feeds:
            raise InputError(f"input {name!r} is missing; {spec.id} takes {', '.join(known)}")
    if len(tail):
        raise InputError(f"the body has {len(tail)} bytes after the last input; allowed: none")
    _check_axes(feeds, spec)
    return feeds


def _parse_input(
    entry: Mapping[str, Any], tensor: TensorSpec, tail: memoryview
) -> tuple[Array, int]:
    """The array, and how many bytes of the tail it took."""
    declared = declare(tensor, datatype=entry.get("datatype"), shape=entry.get("shape"))
    place = f"input {tensor.name!r}"
    size = _parameters(entry, place).get("binary_data_size")
    if (size is None) == ("data" not in entry):
        found = "neither" if size is None else "both"
        raise InputError(f"{place} has {found} of data and binary_data_size; allowed: one")
    if size is None:
        return from_json(declared, entry["data"]), 0
    if type(size) is not int or size != declared.size_bytes:
        raise InputError(
            f"{place} has binary_data_size {quoted(size)}; allowed: {declared.size_bytes}, "
            f"as its shape is {list(declared.shape)}"
        )
    if size > len(tail):
        raise InputError(f"{place} has {size} bytes; the body holds {len(tail)} for it")
    return from_bytes(declared, tail[:size]), size


def _check_axes(feeds: Mapping[str, Array], spec: Spec) -> None:
    """An axis of any size, such as N, is of one size in all inputs that have it."""
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


def _parse_outputs(content: Mapping[str, Any], spec: Spec) -> tuple[WantedOutput, ...]:
    parameters = _parameters(content, "the request")
    binary = _flag(parameters, "binary_data_output", False, "the request")
    known = {tensor.name: tensor for tensor in spec.outputs}
    if not content.get("outputs"):
        return tuple(WantedOutput(name, binary) for name in known)
    wanted: dict[str, WantedOutput] = {}
    for entry in _objects(content, "outputs"):
        name = _name(entry, "output", known, wanted)
        place = f"output {name!r}"
        own = _flag(_parameters(entry, place), "binary_data", binary, place)
        wanted[name] = WantedOutput(name, own)
    return tuple(wanted.values())


def _name(
    entry: Mapping[str, Any], kind: str, known: Mapping[str, object], seen: Mapping[str, object]
) -> str:
    name = entry.get("name")
    if not isinstance(name, str) or name not in known:
        raise InputError(f"{kind} {quoted(name)} is unknown; known: {', '.join(known)}")
    if name in seen:
        raise InputError(f"{kind} {name!r} is given twice; allowed: once")
    return name


def _parameters(holder: Mapping[str, Any], place: str) -> Mapping[str, Any]:
    parameters = _object(holder.get("parameters") or {}, f"parameters of {place}")
    for name in UNSUPPORTED:
        if name in parameters:
            raise InputError(f"{place} has the parameter {name!r}, which is not supported")
    return parameters


def _flag(parameters: Mapping[str, Any], name: str, default: bool, place: str) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise InputError(f"{name} of {place} is {quoted(value)}; allowed: true or false")
    return value


def _objects(content: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    entries = content.get(name)
    if not isinstance(entries, list):
        raise InputError(f"{name} is {json_kind(entries)}; allowed: a list of objects")
    return [_object(entry, f"{name}[{index}]") for index, entry in enumerate(entries)]


def _object(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{place} is {json_kind(value)}; allowed: an object")
    return value

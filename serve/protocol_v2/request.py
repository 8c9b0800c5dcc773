"""Parse infer requests and check them against the model's spec."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runtime.artifact.manifest import Spec, TensorSpec
from runtime.errors import InputError, TooLargeError
from serve.protocol_v2 import json_request
from serve.protocol_v2.bytes_tensors import MAX_ELEMENTS
from serve.protocol_v2.classification import class_count
from serve.protocol_v2.encodings import Medium, is_encoded, media_of_bytes, media_of_json, medium_of
from serve.protocol_v2.fields import flag_of, name_of, objects_of, parameters_of
from serve.protocol_v2.json_numbers import from_json
from serve.protocol_v2.json_request import RequestJson
from serve.protocol_v2.tensors import Array, TensorHeader, check_header, from_bytes, header_of_raw
from serve.protocol_v2.timeout import parse_timeout
from serve.text.integers import parse_integer
from serve.text.messages import repr_truncated

HEADER_LENGTH = "Inference-Header-Content-Length"
MAX_ID_CHARACTERS = 1024
RESERVED = ("headers", "triton_")  # begin names of parameters that no client may use for its own


@dataclass(frozen=True, slots=True)
class RequestedOutput:
    """An output that the client asks for."""

    name: str
    binary: bool  # as bytes after the JSON, not as a JSON list
    classes: int = 0  # as this many strings "value:index:label" per row; 0: as it is


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A parsed infer request: tensors of the model's dtypes and shapes, or encoded media."""

    id: str | None
    feeds: Mapping[str, Array]
    outputs: tuple[RequestedOutput, ...]  # in the order of the response
    media: tuple[bytes, ...] = field(default=())  # a row each; in place of the feeds


def parse_request(
    body: bytes, header_length: str | None, spec: Spec, *, most_media: int = MAX_ELEMENTS
) -> InferRequest:
    """Parse a request and check it against the model's spec.

    With the length "0" the body is the only input of the model, as bytes or encoded, and every
    output is requested as bytes.

    Args:
        body: JSON, then the bytes of the binary inputs.
        header_length: the value of the header HEADER_LENGTH, the number of bytes of JSON; None if
            all is JSON.
        spec: of the model.
        most_media: encoded files or texts.

    Raises:
        InputError: the request is not JSON of the protocol, or does not fit the model.
        TooLargeError: its JSON is too large without the data, or it has too many media.
    """
    length = _json_length(body, header_length)
    if header_length is not None and length == 0:
        return _parse_raw(body, spec)
    request = json_request.load(body, length)
    request_id = _request_id(request.content)
    parameters = parameters_of(request.content, "the request")
    _check_names(parameters)
    parse_timeout(parameters)
    outputs = _parse_outputs(request.content, spec)
    tail = memoryview(body)[length:]
    medium = medium_of(spec)
    if medium is not None and is_encoded(request.content, medium):
        media = _parse_media(request, tail, medium, most_media)
        return InferRequest(request_id, {}, outputs, media)
    return InferRequest(request_id, _parse_inputs(request, tail, spec), outputs)


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


def _check_names(parameters: Mapping[str, Any]) -> None:
    """Refuse the names of parameters that the protocol reserves for the server."""
    for name in parameters:
        if name.startswith(RESERVED):
            raise InputError(
                f"the request has the parameter {repr_truncated(name)}; names that begin with "
                f"{' or '.join(RESERVED)} are reserved"
            )


def _parse_raw(body: bytes, spec: Spec) -> InferRequest:
    """Parse a body without JSON: the only input; request all outputs as bytes."""
    outputs = tuple(RequestedOutput(tensor.name, binary=True) for tensor in spec.outputs)
    medium = medium_of(spec)
    if medium is not None and medium.recognizes(body):
        return InferRequest(None, {}, outputs, (body,))
    if len(spec.inputs) != 1:
        names = ", ".join(tensor.name for tensor in spec.inputs)
        raise InputError(f"a raw request needs a model of one input; {spec.id} takes {names}")
    header = header_of_raw(spec.inputs[0], len(body))
    feeds = {header.spec.name: from_bytes(header, memoryview(body))}
    return InferRequest(None, feeds, outputs)


def _parse_media(
    request: RequestJson, tail: memoryview, medium: Medium, most: int
) -> tuple[bytes, ...]:
    """Return the encoded files or texts of a request, one for each row."""
    entries = objects_of(request.content, "inputs")
    if len(entries) != 1:
        raise InputError(
            f"input {medium.name!r} is encoded, and {len(entries) - 1} inputs are beside it; "
            "allowed: none"
        )
    (entry,) = entries
    size = _data_size(entry, medium.name, tail)
    if size is None:
        return media_of_json(entry, medium, most)
    _check_end(tail[size:])
    return media_of_bytes(entry, medium, tail[:size], most)


def _parse_inputs(request: RequestJson, tail: memoryview, spec: Spec) -> dict[str, Array]:
    """Return the array of every input of the spec; the binary ones follow each other in `tail`."""
    tensors = {tensor.name: tensor for tensor in spec.inputs}
    feeds: dict[str, Array] = {}
    for entry in objects_of(request.content, "inputs"):
        tensor = tensors[name_of(entry, "input", tensors, feeds)]
        feeds[tensor.name], size = _parse_input(entry, request, tensor, tail)
        tail = tail[size:]
    for name in tensors:
        if name not in feeds:
            raise InputError(f"input {name!r} is missing; {spec.id} takes {', '.join(tensors)}")
    _check_end(tail)
    _check_axes(feeds, spec)
    return feeds


def _parse_input(
    entry: Mapping[str, Any], request: RequestJson, tensor: TensorSpec, tail: memoryview
) -> tuple[Array, int]:
    """Return the array of an input, and the number of bytes of the tail that it uses."""
    header = check_header(tensor, datatype=entry.get("datatype"), shape=entry.get("shape"))
    size = _data_size(entry, tensor.name, tail, header)
    if size is None:
        return from_json(header, request.data_of(entry)), 0
    return from_bytes(header, tail[:size]), size


def _data_size(
    entry: Mapping[str, Any], name: str, tail: memoryview, header: TensorHeader | None = None
) -> int | None:
    """Return the bytes that an input has in the tail; None if its data are in the JSON."""
    place = f"input {name!r}"
    size = parameters_of(entry, place).get("binary_data_size")
    if (size is None) == ("data" not in entry):
        count = "neither" if size is None else "both"
        raise InputError(f"{place} has {count} of data and binary_data_size; allowed: one")
    if size is None:
        return None
    expected = header.size_bytes if header is not None else None
    if type(size) is not int or size < 0 or expected not in (None, size):
        allowed = "an integer >= 0"
        if header is not None and expected is not None:
            allowed = f"{expected}, as its shape is {list(header.shape)}"
        raise InputError(f"{place} has binary_data_size {repr_truncated(size)}; allowed: {allowed}")
    if size > len(tail):
        raise InputError(f"{place} has {size} bytes; the body holds {len(tail)} for it")
    return size


def _check_end(tail: memoryview) -> None:
    if len(tail):
        raise InputError(f"the body has {len(tail)} bytes after the last input; allowed: none")


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
    parameters = parameters_of(content, "the request")
    binary = flag_of(parameters, "binary_data_output", False, "the request")
    tensors = {tensor.name: tensor for tensor in spec.outputs}
    if not content.get("outputs"):
        return tuple(RequestedOutput(name, binary) for name in tensors)
    outputs: dict[str, RequestedOutput] = {}
    for entry in objects_of(content, "outputs"):
        name = name_of(entry, "output", tensors, outputs)
        place = f"output {name!r}"
        own = parameters_of(entry, place)
        outputs[name] = RequestedOutput(
            name, flag_of(own, "binary_data", binary, place), class_count(own, tensors[name])
        )
    return tuple(outputs.values())

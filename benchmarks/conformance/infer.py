"""Infer requests and their answers."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.conformance.http_client import Answer
from benchmarks.conformance.outcome import CheckError
from benchmarks.conformance.tensors import Tensor, unpack

LENGTH = "Inference-Header-Content-Length"


@dataclass(frozen=True, slots=True)
class Message:
    """The body and headers of an infer request."""

    body: bytes
    headers: Mapping[str, str]


def message(tensors: Sequence[Tensor], *, binary: Sequence[str] = (), **fields: Any) -> Message:
    """Return a request; the inputs named in `binary` follow the JSON as bytes."""
    entries = [t.as_binary() if t.name in binary else t.as_json() for t in tensors]
    head = json.dumps({"inputs": entries, **fields}).encode()
    tail = b"".join(t.data for t in tensors if t.name in binary)
    headers = {LENGTH: str(len(head))} if binary else {}
    return Message(head + tail, headers)


def all_binary(tensors: Sequence[Tensor], **fields: Any) -> Message:
    """Return a request with every input as bytes."""
    return message(tensors, binary=[t.name for t in tensors], **fields)


@dataclass(frozen=True, slots=True)
class Inference:
    """A parsed answer."""

    content: Mapping[str, Any]
    outputs: Mapping[str, Tensor]  # in the order of the answer
    binary: frozenset[str]


def parse(answer: Answer) -> Inference:
    """Parse an answer as tritonclient does: outputs in order, sizes added up.

    Raises:
        CheckError: it is an error, or its sizes do not add up.
    """
    answer.ok()
    length = answer.headers.get(LENGTH.lower())
    head = answer.body if length is None else answer.body[: int(length)]
    tail = b"" if length is None else answer.body[int(length) :]
    content = json.loads(head)
    outputs, binary = {}, set()
    for entry in content["outputs"]:
        name, shape = entry["name"], entry["shape"]
        size = entry.get("parameters", {}).get("binary_data_size")
        if size is None:
            values = [v.encode() if isinstance(v, str) else v for v in _flat(entry["data"])]
            outputs[name] = Tensor(name, entry["datatype"], tuple(shape), tuple(values))
            continue
        outputs[name] = unpack(name, entry["datatype"], shape, tail[:size])
        tail = tail[size:]
        binary.add(name)
    if tail:
        raise CheckError(f"{len(tail)} bytes follow the last output")
    return Inference(content, outputs, frozenset(binary))


def same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    """Return whether two answers have equal outputs; FP32 in JSON may lose its last digits."""
    return first.keys() == second.keys() and all(
        a.shape == second[name].shape and all(map(_close, a.values, second[name].values))
        for name, a in first.items()
    )


def _close(a: Any, b: Any) -> bool:
    if isinstance(a, float) or isinstance(b, float):
        return bool(abs(a - b) <= 1e-4 * max(1.0, abs(a), abs(b)))
    return bool(a == b)


def _flat(data: Any) -> list[Any]:
    if not isinstance(data, list):
        return [data]
    return [value for item in data for value in _flat(item)]

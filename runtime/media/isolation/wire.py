"""Messages between a parent and its worker: a head, facts as JSON, and bytes. Never a pickle."""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from runtime.errors import DecodeError, InputError, TooLargeError

Kind = Literal["ask", "ready", "part", "end", "refused", "fault"]
KINDS: tuple[Kind, ...] = get_args(Kind)
DTYPES = ("uint8", "float32")
MAX_FACTS_BYTES = 2**20
MAX_REPLY_BYTES = 2**28  # of what a worker says; 16 frames of 1024 x 1024 px are 48 MiB
REFUSALS: Mapping[str, type[InputError]] = {
    kind.__name__: kind for kind in (InputError, DecodeError, TooLargeError)
}
HEAD = struct.Struct("<BIQ")  # kind, bytes of the facts, bytes of the data


class WireError(Exception):
    """What came is no message."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message, either way."""

    kind: Kind
    facts: Mapping[str, Any] = field(default_factory=dict)
    data: bytes | bytearray = b""


def pack(message: Message) -> tuple[bytes, bytes | bytearray]:
    """The head with the facts, and the data."""
    facts = json.dumps(message.facts).encode()
    head = HEAD.pack(KINDS.index(message.kind), len(facts), len(message.data))
    return head + facts, message.data


def unpack_head(head: bytes | bytearray) -> tuple[Kind, int, int]:
    """Kind, bytes of the facts, bytes of the data.

    Raises:
        WireError: no such kind, or facts that are too long.
    """
    number, facts_bytes, data_bytes = HEAD.unpack(head)
    if number >= len(KINDS) or facts_bytes > MAX_FACTS_BYTES:
        raise WireError(f"a head of kind {number} with facts of {facts_bytes} bytes")
    return KINDS[number], facts_bytes, data_bytes


def unpack_facts(text: bytes | bytearray) -> dict[str, Any]:
    """The facts.

    Raises:
        WireError: no JSON object.
    """
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WireError(f"facts that are no JSON: {error}") from None
    if not isinstance(facts, dict):
        raise WireError(f"facts that are {type(facts).__name__}")
    return facts


def with_array(facts: Mapping[str, Any], array: NDArray[np.generic]) -> Message:
    """A part of an answer that holds an array."""
    described = {**facts, "dtype": array.dtype.name, "shape": list(array.shape)}
    return Message("part", described, array.tobytes())


def array_of(message: Message) -> NDArray[Any]:
    """The array of a part.

    Raises:
        WireError: a dtype that is not sent, or a shape that does not fit the bytes.
    """
    dtype, shape = message.facts.get("dtype"), message.facts.get("shape")
    if dtype not in DTYPES or not isinstance(shape, list):
        raise WireError(f"an array of {dtype!r} and shape {shape!r}")
    try:
        return np.frombuffer(message.data, dtype).reshape([int(axis) for axis in shape])
    except (TypeError, ValueError) as error:
        raise WireError(f"an array of another shape: {error}") from None

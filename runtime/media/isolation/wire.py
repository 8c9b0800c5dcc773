"""Messages between the pool and its workers: two frames of a Connection, JSON and raw bytes.

A worker decodes hostile files and may be taken over by one. So of `multiprocessing.connection`
only `send_bytes` and `recv_bytes` are used: `send` and `recv` pickle, and an unpickled reply could
run any code in the server.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from runtime.errors import DecodeError, InputError, TooLargeError

MessageKind = Literal["ask", "ready", "part", "end", "refused", "fault"]
KINDS: tuple[MessageKind, ...] = get_args(MessageKind)
DTYPES = ("uint8", "float32")
MAX_HEAD_BYTES = 2**20
MAX_REPLY_BYTES = 2**28  # of a worker's data; 16 frames of 1024 x 1024 px are 48 MiB
REFUSALS: Mapping[str, type[InputError]] = {
    kind.__name__: kind for kind in (InputError, DecodeError, TooLargeError)
}


class WireError(Exception):
    """The bytes received are no message."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message, in either direction."""

    kind: MessageKind
    facts: Mapping[str, Any] = field(default_factory=dict)
    data: bytes = b""


def send(connection: Connection, message: Message) -> None:
    """Write a message; block until the other process has read most of it."""
    head = {"kind": message.kind, "facts": message.facts}
    connection.send_bytes(json.dumps(head).encode())
    connection.send_bytes(message.data)


def receive_head(connection: Connection) -> Message:
    """Read the first frame of a message, which is everything but its data.

    Raises:
        EOFError: the other process closed its end.
        OSError: it closed its end within the frame, or the frame is longer than MAX_HEAD_BYTES.
        WireError: the frame is not the JSON of a head.
    """
    frame = connection.recv_bytes(MAX_HEAD_BYTES)
    try:
        head = json.loads(frame)
        kind, facts = head["kind"], head["facts"]
    except (ValueError, RecursionError, TypeError, KeyError) as error:
        raise WireError(f"a head of {len(frame)} bytes that is none: {error!r}") from None
    if kind not in KINDS or not isinstance(facts, dict):
        raise WireError(f"a head of kind {kind!r}")
    return Message(kind, facts)


def receive(connection: Connection) -> Message:
    """Read a message of a worker, with data of at most MAX_REPLY_BYTES.

    Raises:
        EOFError, OSError, WireError: as `receive_head`.
    """
    head = receive_head(connection)
    return replace(head, data=connection.recv_bytes(MAX_REPLY_BYTES))


def with_array(facts: Mapping[str, Any], array: NDArray[np.generic]) -> Message:
    """Return a part of an answer that holds an array."""
    described = {**facts, "dtype": array.dtype.name, "shape": list(array.shape)}
    return Message("part", described, array.tobytes())


def array_of(message: Message) -> NDArray[Any]:
    """Return the array of a part.

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

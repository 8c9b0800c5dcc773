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

MessageKind = Literal["request", "ready", "part", "end", "refusal", "fault"]
KINDS: tuple[MessageKind, ...] = get_args(MessageKind)
DTYPES = ("uint8", "float32")
_MAX_WARNINGS, _MAX_WARNING_CHARACTERS = 8, 300
MAX_HEAD_BYTES = 2**20
MAX_REPLY_BYTES = 2**28  # of the data in one reply; 16 frames of 1024 x 1024 px are 48 MiB
# errors that a worker may name in a refusal; any other name becomes DecodeError
REFUSALS: Mapping[str, type[InputError]] = {
    error.__name__: error for error in (InputError, DecodeError, TooLargeError)
}


class WireError(Exception):
    """Received bytes are not a valid message."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message, in either direction."""

    kind: MessageKind
    fields: Mapping[str, Any] = field(default_factory=dict)  # JSON values
    data: bytes = b""


def send(connection: Connection, message: Message) -> None:
    """Write a message; block until the other process has read most of it."""
    head = {"kind": message.kind, "fields": message.fields}
    connection.send_bytes(json.dumps(head).encode())
    connection.send_bytes(message.data)


def receive_head(connection: Connection) -> Message:
    """Read the first frame of a message: its kind and fields, without its data.

    Raises:
        EOFError: the other process closed its end.
        OSError: it closed its end within the frame, or the frame is longer than MAX_HEAD_BYTES.
        WireError: the frame is not JSON, or lacks a kind or fields.
    """
    frame = connection.recv_bytes(MAX_HEAD_BYTES)
    try:
        head = json.loads(frame)
        kind, fields = head["kind"], head["fields"]
    except (ValueError, RecursionError, TypeError, KeyError) as error:
        raise WireError(f"a head of {len(frame)} bytes is not valid: {error!r}") from None
    if kind not in KINDS or not isinstance(fields, dict):
        raise WireError(f"a head is of kind {kind!r}; allowed: {', '.join(KINDS)}, with fields")
    return Message(kind, fields)


def receive_reply(connection: Connection) -> Message:
    """Read a whole message from a worker, with data of at most MAX_REPLY_BYTES.

    Raises:
        EOFError, OSError, WireError: as `receive_head`.
    """
    head = receive_head(connection)
    return replace(head, data=connection.recv_bytes(MAX_REPLY_BYTES))


def array_message(fields: Mapping[str, Any], array: NDArray[np.generic]) -> Message:
    """Return a part of an answer that carries an array and its dtype and shape."""
    array_fields = {**fields, "dtype": array.dtype.name, "shape": list(array.shape)}
    return Message("part", array_fields, array.tobytes())


def read_warnings(message: Message) -> tuple[str, ...]:
    """Return the warnings in the fields of a part: they become an HTTP header and log lines.

    Raises:
        WireError: they are no short list of short ASCII sentences.
    """
    warnings = message.fields.get("warnings", [])
    if not isinstance(warnings, list) or len(warnings) > _MAX_WARNINGS:
        raise WireError(f"warnings are no list of at most {_MAX_WARNINGS}")
    for text in warnings:
        if not isinstance(text, str) or len(text) > _MAX_WARNING_CHARACTERS:
            raise WireError("a warning is no short text")
        if not (text.isascii() and text.isprintable()):
            raise WireError("a warning is not printable ASCII")
    return tuple(warnings)


def read_array(message: Message) -> NDArray[Any]:
    """Return the array that a part carries.

    Raises:
        WireError: the dtype is not one of DTYPES, or the shape does not fit the bytes.
    """
    dtype, shape = message.fields.get("dtype"), message.fields.get("shape")
    if dtype not in DTYPES or not isinstance(shape, list):
        raise WireError(f"an array is {dtype!r} of shape {shape!r}; allowed: {', '.join(DTYPES)}")
    try:
        return np.frombuffer(message.data, dtype).reshape([int(axis) for axis in shape])
    except (TypeError, ValueError) as error:
        raise WireError(f"an array does not have its shape {shape!r}: {error}") from None

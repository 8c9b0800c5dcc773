"""Parse the JSON of an infer request; the lists of numbers in it stay bytes."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from runtime.errors import InputError, TooLargeError
from serve.text.json_scan import Cut, Span, check_begin, cut_out, strings
from serve.text.messages import json_type

MAX_STRINGS = 2**15
MAX_REST_BYTES = 64 * 1024  # of a request without its data: ids, names, shapes and parameters
_DATA = b'"data"'
_LIST_FOLLOWS = re.compile(rb"[ \t\r\n]*+:[ \t\r\n]*+(?=\[)")


@dataclass(frozen=True, slots=True)
class RequestJson:
    """A parsed request."""

    content: Mapping[str, Any]
    cut: Cut  # the lists of numbers

    def data_of(self, entry: Mapping[str, Any]) -> object:
        """Return the data of an input: JSON as bytes, or a parsed value that is no such list."""
        part = self.cut.part(entry["data"])
        return entry["data"] if part is None else part


def load(body: bytes, length: int) -> RequestJson:
    """Parse the JSON in `body[:length]`.

    Raises:
        InputError: it is no JSON object.
        TooLargeError: it has too many strings, or too many bytes besides its data.
    """
    check_begin(body, "the request")
    quotes = body.count(b'"', 0, length)
    if quotes > 2 * MAX_STRINGS:
        raise TooLargeError(
            f"the JSON has {quotes} quotes; allowed: {2 * MAX_STRINGS}; binary tensors need none"
        )
    place = "the JSON of the request without its data"
    cut = cut_out(body, _data(body, length), end=length, limit=MAX_REST_BYTES, place=place)
    try:
        content = orjson.loads(cut.rest)
    except orjson.JSONDecodeError as error:
        raise InputError(f"the request is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"the request is {json_type(content)}; allowed: an object")
    return RequestJson(content, cut)


def _data(body: bytes, length: int) -> Iterator[Span]:
    """Yield the places of the lists of numbers: all that is between brackets after "data":."""
    for first, last in strings(body, length):
        if last - first != len(_DATA) or body[first:last] != _DATA:
            continue
        start = _LIST_FOLLOWS.match(body, last, length)
        if start is None:
            continue
        # a list of numbers ends before the next name, and before its object does
        end = _find(body, b"}", start.end(), _find(body, b'"', start.end(), length))
        end = body.rfind(b"]", start.end(), end) + 1
        place = (start.end(), end)
        if end and body.count(b"[", *place) == body.count(b"]", *place):
            yield place


def _find(body: bytes, mark: bytes, first: int, end: int) -> int:
    position = body.find(mark, first, end)
    return position if position >= 0 else end

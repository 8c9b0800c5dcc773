"""Take what is long out of a JSON text before it is parsed, by its bytes alone.

A parser makes objects of many times the size of their text: 10 MB of numbers become 120 MB, and one
emoji in 14 MB of base64 makes them 57. Every function takes time in proportion to the text.
"""

import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from runtime.errors import InputError, TooLargeError

_QUOTE, _BACKSLASH = b'"', b"\\"
_BLANKS = b" \t\r\n"
_BEGIN_BYTES = 8
_JSON_BEGINS = b'{["-0123456789tfn'
_NONCE_BYTES = 8  # a client cannot guess the names of its parts

Span = tuple[int, int]  # first byte, and the byte after the last


@dataclass(frozen=True, slots=True)
class Cut:
    """A JSON text whose long parts are taken out."""

    rest: bytes  # the text, with a short string, the name of the part, in place of each
    parts: Mapping[str, bytes]  # JSON by name, in order

    def part(self, value: object) -> bytes | None:
        """Return the JSON of the part that a parsed value stands for; None if it is none."""
        return self.parts.get(value) if isinstance(value, str) else None


def check_begin(text: bytes, place: str) -> None:
    """Refuse a text that begins as no JSON does, such as an image (InputError)."""
    begin = text[:_BEGIN_BYTES].lstrip(_BLANKS)
    if begin and begin[:1] not in _JSON_BEGINS:
        raise InputError(f"{place} is not JSON: it begins with bytes {begin.hex(' ')}")


def strings(text: bytes, end: int) -> Iterator[Span]:
    """Yield the place of each string of `text[:end]`, with its quotes, in order.

    A string without an end is left out: a parser refuses it.
    """
    first = text.find(_QUOTE, 0, end)
    while first >= 0:
        last = _closing_quote(text, first + 1, end)
        if last < 0:
            return
        yield first, last + 1
        first = text.find(_QUOTE, last + 1, end)


def cut_out(text: bytes, spans: Iterable[Span], *, end: int, limit: int, place: str) -> Cut:
    """Take parts out of `text[:end]`.

    Args:
        text: its parts are JSON values.
        spans: the places of the parts, in order.
        end: bytes of the JSON.
        limit: most bytes of the rest.
        place: begins the message of the error.

    Raises:
        TooLargeError: the rest is longer than `limit`.
    """
    ordered = list(spans)
    size = end - sum(last - first for first, last in ordered)
    if size > limit:
        raise TooLargeError(f"{place} has {size} bytes; allowed: {limit}")
    nonce = secrets.token_hex(_NONCE_BYTES)
    rest, parts, position = bytearray(), {}, 0
    for index, (first, last) in enumerate(ordered):
        name = f"{nonce}{index}"
        parts[name] = text[first:last]
        rest += text[position:first] + f'"{name}"'.encode()
        position = last
    rest += text[position:end]
    return Cut(bytes(rest), parts)


def _closing_quote(text: bytes, first: int, end: int) -> int:
    """Return the place of the first quote at or after `first` that is not escaped, or -1."""
    quote = text.find(_QUOTE, first, end)
    while quote >= 0 and _is_escaped(text, first, quote):
        first = quote + 1
        quote = text.find(_QUOTE, first, end)
    return quote


def _is_escaped(text: bytes, first: int, quote: int) -> bool:
    """Return whether an odd number of backslashes stands before a quote, after `first`."""
    if text[quote - 1 : quote] != _BACKSLASH:
        return False
    before = text[first:quote]
    return (len(before) - len(before.rstrip(_BACKSLASH))) % 2 == 1

"""Decode base64 in JSON, or a data URL of it, a block at a time.

A file is most of its body. Its text is never copied whole, and no step stops the other threads for
as long as it takes to decode it whole.
"""

import binascii
import io
import re
from collections.abc import Iterator

import orjson

from runtime.errors import InputError

_BLOCK_BYTES = 2**16  # orjson takes some twelve times the size of what it parses
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_BLANKS = b" \t\r\n"
_HEAD_BYTES = 1024  # of a data URL, at most, before its comma
# Blanks as they are, or escaped as in JSON. Every repetition has a bound.
_BEGIN = rb"(?:[ \t\r\n]|\\[ntr]){0,64}data:"
# Parameters may hold quotes, blanks and commas, as browsers write them: codecs=vp8,opus
_DATA_URL = re.compile(
    _BEGIN + rb"[^\0-\x1f]{0,512}?;[ \t]{0,16}base64[ \t]{0,16},", re.IGNORECASE | re.DOTALL
)
_ANY_URL = re.compile(_BEGIN, re.IGNORECASE)
# A data URL is a URL, in which these may be escaped; no other character of base64 ever is.
_PERCENT = {
    escape: character
    for character in (b"+", b"/", b"=", b"-", b"_", b" ", b"\t", b"\r", b"\n")
    for escape in (b"%%%02X" % character[0], b"%%%02x" % character[0])
}
_ESCAPES = ((b"%", 3), (b"\\", 6))  # how they begin, and the most bytes of one


def from_base64(name: str, quoted: bytes) -> bytes | InputError:
    """Decode base64 of either alphabet, with or without padding and line breaks.

    Args:
        name: of the field, for the message.
        quoted: a JSON string, with its quotes.

    Returns:
        The bytes; the error of a text that is neither base64 nor a data URL of it.
    """
    prefix = _DATA_URL.match(quoted, 1, _HEAD_BYTES)
    if prefix is None and _ANY_URL.match(quoted, 1, _HEAD_BYTES):
        return InputError(
            f"{name!r} is a data URL that is not base64; allowed: data:...;base64,..."
        )
    try:
        return _decode(quoted, prefix.end() if prefix else 1, len(quoted) - 1)
    except ValueError as error:  # binascii.Error is one; so is that of orjson
        return InputError(
            f"{name!r} is not base64: {error}; allowed: A-Z a-z 0-9 + / or - _, line breaks, and "
            "padding or none"
        )


def _decode(text: bytes, first: int, end: int) -> bytes:
    """Decode the base64 in `text[first:end]`, which may be escaped as in a URL.

    Raises:
        ValueError: the text is none, or holds a character outside ASCII.
    """
    data = io.BytesIO()
    rest = (
        b""  # digits of the block before; the last four are kept, as padding may end only the text
    )
    for block in _blocks(text, first, end):
        digits = rest + block.translate(_URL_SAFE, delete=_BLANKS)
        whole = max(0, (len(digits) - 1) // 4 * 4)
        if digits.find(b"=", 0, whole) >= 0:
            raise binascii.Error("Excess data after padding")
        data.write(binascii.a2b_base64(digits[:whole], strict_mode=True))
        rest = digits[whole:]
    padding = -len(rest) % 4
    if padding and rest.endswith(b"="):
        raise binascii.Error("Incorrect padding")
    data.write(binascii.a2b_base64(rest + b"=" * padding, strict_mode=True))
    return data.getvalue()


def _blocks(text: bytes, first: int, end: int) -> Iterator[bytes]:
    """Yield `text[first:end]` in blocks, without the escapes of JSON and of URLs.

    Raises:
        ValueError: a character is outside ASCII, or an escape is none.
    """
    while first < end:
        last = min(end, first + _BLOCK_BYTES)
        if last < end:  # no block ends within an escape
            places = (text.rfind(mark, last - longest + 1, last) for mark, longest in _ESCAPES)
            last = min((place for place in places if place > first), default=last)
        yield _unescape(text[first:last])
        first = last


def _unescape(block: bytes) -> bytes:
    if b"\\" in block:
        unescaped: str = orjson.loads(b'"%b"' % block)
        block = unescaped.encode()
    if not block.isascii():
        raise ValueError("a character outside ASCII")
    if b"%" in block:
        for escape, character in _PERCENT.items():
            block = block.replace(escape, character)
    return block

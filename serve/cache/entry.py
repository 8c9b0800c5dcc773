"""A stored answer, and its form in Redis: a line of JSON, then the body as it was sent."""

import zlib
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.responses import Response

LONGEST_HEAD_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """The answer to a request, with status 200."""

    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    @classmethod
    def of(cls, response: Response) -> "Entry":
        """Return the entry of a response."""
        return cls(tuple(response.raw_headers), bytes(response.body))

    @property
    def size_bytes(self) -> int:
        """Return the bytes of headers and body."""
        return len(self.body) + sum(len(name) + len(value) for name, value in self.headers)

    def response(self) -> Response:
        """Return the response once more, with headers of its own."""
        response = Response(self.body)
        response.raw_headers = list(self.headers)
        return response

    def encode(self, key: str, since_s: float) -> bytes:
        """Return the bytes for Redis; they hold their key, so that none is taken for another."""
        head = {
            "key": key,
            "since": since_s,
            "headers": [
                (name.decode("latin-1"), text.decode("latin-1")) for name, text in self.headers
            ],
            "crc32": zlib.crc32(self.body),
        }
        return orjson.dumps(head) + b"\n" + self.body


def decode(data: object, key: str) -> tuple[Entry, float] | None:
    """Return the entry in bytes from Redis, and since when it is known; None if they hold none.

    Whatever Redis answers, nothing else comes back: another key, half of a body, no JSON.
    """
    if not isinstance(data, bytes):
        return None
    end = data.find(b"\n", 0, LONGEST_HEAD_BYTES)
    if end < 0:
        return None
    body = data[end + 1 :]
    try:
        head: Any = orjson.loads(data[:end])
        if head["key"] != key or head["crc32"] != zlib.crc32(body):
            return None
        headers = tuple(
            (name.encode("latin-1"), text.encode("latin-1")) for name, text in head["headers"]
        )
        return Entry(headers, body), float(head["since"])
    except (ValueError, TypeError, KeyError, AttributeError):
        return None

"""A stored answer as bytes, and bytes that are none."""

import pytest
from starlette.responses import Response

from serve.cache.entry import Entry, decode

ENTRY = Entry.of(Response(b"\x89PNG\n\x00", headers={"X-Model": "u2netp"}, media_type="image/png"))


def test_an_answer_survives_as_it_was_sent() -> None:
    assert decode(ENTRY.encode("key", 12.5), "key") == (ENTRY, 12.5)
    response = ENTRY.response()
    assert (response.body, response.headers["content-length"]) == (b"\x89PNG\n\x00", "6")


def test_a_response_has_headers_of_its_own() -> None:
    ENTRY.response().headers["Age"] = "1"
    assert "age" not in ENTRY.response().headers


@pytest.mark.parametrize(
    "data",
    [
        None,
        b"",
        7,
        b"nonsense",
        b"null\n",
        b"[]\n",
        b"{}\n\x89PNG",
        b'{"key": "key", "since": "soon", "headers": [], "crc32": 0}\n',
        b'{"key": "key", "since": 1, "headers": [[1, 2]], "crc32": 0}\n',
        b'{"key": "key", "since": 1, "headers": 5, "crc32": 0}\n',
        ENTRY.encode("another", 12.5),
        ENTRY.encode("key", 12.5)[:-1],
        ENTRY.encode("key", 12.5) + b"more",
        b"\xff" * 100_000,
    ],
)
def test_anything_else_is_no_answer(data: object) -> None:
    assert decode(data, "key") is None

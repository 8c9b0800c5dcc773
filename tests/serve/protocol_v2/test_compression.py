"""Bodies in gzip and deflate: read and written, within the limit of a body."""

import gzip
import json
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest
from starlette.responses import Response

from runtime.errors import InputError, TooLargeError
from serve.errors import OverloadedError
from serve.protocol_v2.compression import (
    LEAST_BYTES,
    PIECE_BYTES,
    accepted,
    compress,
    encoding_of,
    inflate,
)
from serve.settings import Settings
from tests.serve.conftest import Serve

PACK: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}
INFER = "/v2/models/tiny_tensors/infer"


@pytest.mark.parametrize("encoding", PACK)
def test_a_body_is_inflated_up_to_the_limit(encoding: str) -> None:
    data = bytes(range(256)) * 40
    packed = PACK[encoding](data)
    assert inflate(packed, encoding, limit_bytes=len(data)) == data
    with pytest.raises(TooLargeError, match=f"inflates to more than {len(data) - 1} bytes"):
        inflate(packed, encoding, limit_bytes=len(data) - 1)


@pytest.mark.parametrize("encoding", PACK)
def test_a_bomb_takes_no_more_memory_than_the_limit(encoding: str) -> None:
    bomb = PACK[encoding](bytes(2**28))
    assert len(bomb) < 2**19
    tracemalloc.start()
    try:
        with pytest.raises(TooLargeError):
            inflate(bomb, encoding, limit_bytes=2**20)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("encoding", PACK)
def test_inflated_bytes_are_counted_piece_by_piece(encoding: str) -> None:
    data = bytes(range(256)) * 10_000
    sizes: list[int] = []
    assert inflate(PACK[encoding](data), encoding, limit_bytes=2**24, grow=sizes.append) == data
    assert sum(sizes) == len(data)
    assert max(sizes) == PIECE_BYTES

    def refuse(size_bytes: int) -> None:
        raise OverloadedError("full", reason="bytes")

    with pytest.raises(OverloadedError):
        inflate(PACK[encoding](data), encoding, limit_bytes=2**24, grow=refuse)


def test_inflated_bytes_count_in_the_budget_of_all_bodies(
    serve: Serve, artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bound all bodies by what a single one may have, so that little is left for inflated bytes."""
    monkeypatch.setattr("serve.app.BODIES_IN_MEMORY", 1)
    client = serve(Settings(artifacts=artifacts, max_upload_bytes=2**20))
    values = json.dumps({"inputs": [], "id": " " * (2**20 - 4096)}).encode()
    packed = gzip.compress(values)
    answer = client.post(INFER, content=packed, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 413  # it is read, and refused for its JSON
    assert "JSON" in answer.json()["error"]
    more = gzip.compress(values + b" " * (2**20 - len(values)))
    answer = client.post(INFER, content=more, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 429
    assert "bodies and answers of" in answer.json()["error"]
    small = client.post(INFER, content=b"{}")
    assert small.status_code == 400  # what was counted is free again


@pytest.mark.parametrize("encoding", PACK)
def test_damaged_data_are_refused(encoding: str) -> None:
    packed = PACK[encoding](b"some data")
    for body in (b"", packed[:-1], b"some data", b"\xff" + packed[1:]):
        with pytest.raises(InputError, match=f"{encoding}"):
            inflate(body, encoding, limit_bytes=100)
    with pytest.raises(InputError, match=f"9 bytes follow the {encoding} data"):
        inflate(packed + b"some data", encoding, limit_bytes=100)


@pytest.mark.parametrize(
    ("header", "encoding"),
    [
        (None, ""),
        ("", ""),
        ("br, zstd", ""),
        ("identity", ""),
        ("*", ""),
        ("gzip", "gzip"),
        ("GZIP ; q=0.5 , deflate", "deflate"),
        ("gzip;q=0, deflate;q=0.0", ""),
        ("gzip, deflate, br", "gzip"),
        ("gzip;q=", ""),
    ],
)
def test_accept_encoding(header: str | None, encoding: str) -> None:
    assert accepted(header) == encoding


def test_content_encoding() -> None:
    assert [encoding_of(text) for text in (None, "identity", " GZip ")] == ["", "", "gzip"]


def test_a_short_answer_stays_as_it_is() -> None:
    short = compress(Response(bytes(LEAST_BYTES - 1)), "gzip")
    assert "content-encoding" not in short.headers
    long = compress(Response(bytes(LEAST_BYTES)), "gzip")
    assert long.headers["content-encoding"] == "gzip"
    assert long.headers["content-length"] == str(len(long.body))
    assert gzip.decompress(bytes(long.body)) == bytes(LEAST_BYTES)


def test_an_inflated_body_counts_against_the_limit_of_a_body(
    artifacts: object, serve: Serve
) -> None:
    client = serve(Settings(artifacts=artifacts, max_upload_bytes=5000))  # type: ignore[arg-type]
    for rows, status in ((8, 200), (1000, 413)):
        values, counts = np.ones((rows, 2), np.float32), np.ones((rows, 2), np.int64)
        inputs = [
            {"name": name, "datatype": kind, "shape": [rows, 2], "data": array.ravel().tolist()}
            for name, kind, array in (("values", "FP32", values), ("counts", "INT64", counts))
        ]
        body = gzip.compress(json.dumps({"inputs": inputs}).encode())
        assert len(body) < 5000
        response = client.post(INFER, content=body, headers={"Content-Encoding": "gzip"})
        assert response.status_code == status, response.text


def test_other_encodings_and_routes_are_refused(client: httpx.Client) -> None:
    refused = client.post(INFER, content=b"x", headers={"Content-Encoding": "br"})
    assert refused.status_code == 415
    assert refused.json() == {"error": "Content-Encoding is 'br'; allowed: gzip, deflate"}
    task = client.post("/v1/face-emotion", content=b"x", headers={"Content-Encoding": "gzip"})
    assert task.status_code == 415

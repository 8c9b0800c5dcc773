"""Requests through the real nginx and HAProxy, over TLS, to a real server."""

import json
import socket

import httpx
import numpy as np
import pytest
import tritonclient.http

from tests.deploy.conftest import Proxy
from tests.support.images import solid

FACE = "/emotion/v1/face-emotion"
LIMIT = 10 * 2**20


def padded(size_bytes: int) -> bytes:
    image = solid(9, 9, 9)
    return image + b"\0" * (size_bytes - len(image))


def raw(proxy: Proxy, data: bytes) -> tuple[bytes, bytes]:
    """Send bytes, and return the head and the body of the answer."""
    with (
        socket.create_connection(("127.0.0.1", proxy.port), timeout=60) as plain,
        proxy.context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(data)
        answer = b""
        while True:
            head, _, body = answer.partition(b"\r\n\r\n")
            if body.rstrip().endswith(b"}"):
                return head, body
            received = connection.recv(65536)
            assert received, answer
            answer += received


def test_all_routes_are_under_the_base_path(proxy: Proxy) -> None:
    with proxy.client() as client:
        assert client.get("/emotion/health").status_code == 200
        assert client.get("/emotion/v2").json()["name"] == "slipway"
        for path in ("/health", "/v2", "/emotional/v2"):
            answer = client.get(path)
            assert answer.status_code == 404
            assert "/emotion/" in answer.json()["error"]


@pytest.mark.parametrize("path", ["/emotion/metrics", "/emotion/%6Detric%73?a"])
def test_the_metrics_are_not_for_clients(proxy: Proxy, path: str) -> None:
    with proxy.client() as client:
        answer = client.get(path)
    assert answer.status_code == 404
    assert answer.json() == {"error": "the metrics are not for clients"}


def test_plain_http_is_redirected(proxy: Proxy) -> None:
    answer = httpx.post(
        f"http://localhost:{proxy.plain_port}{FACE}?tta=flip", content=b"x", timeout=60
    )
    assert answer.status_code == 308
    assert answer.headers["location"].startswith("https://localhost")
    assert answer.headers["location"].endswith(f"{FACE}?tta=flip")


def test_tritonclient_infers_through_the_base_path(proxy: Proxy) -> None:
    client = tritonclient.http.InferenceServerClient(
        url=f"localhost:{proxy.port}/emotion",
        ssl=True,
        ssl_context_factory=lambda: proxy.context,
        network_timeout=60,
    )
    assert client.is_server_live()
    assert client.is_model_ready("tiny_tensors")
    values = np.array([[1.5, -2], [6, 8]], np.float32)
    counts = np.array([[3, 4], [2, 5]], np.int64)
    inputs = []
    for name, array, datatype in (("values", values, "FP32"), ("counts", counts, "INT64")):
        inputs.append(tritonclient.http.InferInput(name, array.shape, datatype))
        inputs[-1].set_data_from_numpy(array)
    result = client.infer("tiny_tensors", inputs)
    assert np.array_equal(result.as_numpy("doubled"), 2 * counts)
    client.close()


def test_the_largest_upload_passes_and_a_larger_one_is_told_its_limit(proxy: Proxy) -> None:
    with proxy.client() as client:
        assert client.post(FACE, content=padded(LIMIT)).status_code == 200
        answer = client.post(FACE, content=padded(LIMIT + 1))
        assert answer.status_code == 413
        assert "MAX_UPLOAD_SIZE" in answer.json()["error"]


def test_an_upload_beyond_the_proxys_limit_is_413_in_the_same_form(proxy: Proxy) -> None:
    # the head alone: a client may still send while a proxy answers and closes
    head = f"POST {FACE} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {2**24}\r\n\r\n"
    head_of_answer, body = raw(proxy, head.encode())
    assert head_of_answer.split()[1] == b"413"
    assert "allowed" in json.loads(body)["error"]


@pytest.mark.parametrize(("fields", "size"), [(7, 10_000), (120, 1)])
def test_a_head_over_the_limit_is_431(proxy: Proxy, fields: int, size: int) -> None:
    headers = {f"x-{index}": "a" * size for index in range(fields)}
    with proxy.client() as client:
        answer = client.get("/emotion/v2", headers=headers)
    assert answer.status_code == 431
    assert "; allowed: " in answer.json()["error"]


def test_an_upload_that_stalls_is_408(proxy: Proxy) -> None:
    head = f"POST {FACE} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
    head_of_answer, body = raw(proxy, head.encode() + b"0123456789")
    assert head_of_answer.split()[1] == b"408"
    assert "10 bytes of the request body arrived" in json.loads(body)["error"]


def test_a_server_that_ended_is_503(proxy: Proxy) -> None:
    """Ask in vain; the last test, as it ends the server."""
    proxy.server.process.kill()
    proxy.server.process.wait(timeout=10)
    with proxy.client() as client:
        answer = client.get("/emotion/v2/health/live")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.json() == {"error": "the server does not answer; try again later"}

"""Run the container's health check against servers that answer, refuse or do not exist."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from deploy.healthcheck import address, failure


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(self.server.status if self.path == "/health" else 404)  # type: ignore[attr-defined]  # set by the test
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as instance:
        thread = threading.Thread(target=instance.serve_forever)
        thread.start()
        yield instance
        instance.shutdown()
        thread.join()


def test_a_server_that_answers_200_is_healthy(server: HTTPServer) -> None:
    server.status = 200  # type: ignore[attr-defined]  # read by the handler
    assert failure("127.0.0.1", server.server_port) is None


def test_any_other_status_is_named(server: HTTPServer) -> None:
    server.status = 503  # type: ignore[attr-defined]  # read by the handler
    assert "status 503; 200 expected" in (failure("127.0.0.1", server.server_port) or "")


def test_requests_bypass_the_proxy_of_the_environment(
    server: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    server.status = 200  # type: ignore[attr-defined]  # read by the handler
    assert failure("127.0.0.1", server.server_port) is None


def test_a_closed_port_returns_a_reason() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        reason = failure("127.0.0.1", unused.getsockname()[1])
    assert "ConnectionRefusedError" in (reason or "")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, ("127.0.0.1", 8000)),
        ({"SLIPWAY_HOST": "0.0.0.0", "PORT": ""}, ("127.0.0.1", 8000)),
        ({"SLIPWAY_HOST": "::"}, ("::1", 8000)),
        ({"SLIPWAY_HOST": "10.0.0.7", "PORT": "9001"}, ("10.0.0.7", 9001)),
    ],
)
def test_the_address_is_where_the_server_listens(
    environ: dict[str, str], expected: tuple[str, int]
) -> None:
    assert address(environ) == expected

"""The conformance program: on this server every point passes, on one that is none no point."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from benchmarks.conformance.__main__ import main
from benchmarks.conformance.table import POINTS
from serve.settings import Settings
from tests.serve.support.server import running
from tests.support.artifacts import (
    CLASSIFIER,
    DETECTOR,
    TENSORS,
    TEXT,
    TYPES,
    VOICE,
    write_artifact,
)

KEY = "a key of the tests"


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    for graph in (CLASSIFIER, DETECTOR, TENSORS, TYPES, TEXT, VOICE):
        write_artifact(tmp_path, graph)
    settings = Settings(artifacts=tmp_path, admin_key=KEY, base_path="/models/here")
    with running(settings) as client:
        yield f"http://127.0.0.1:{client.base_url.port}/models/here"


def test_every_point_passes(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = main([url, "--admin-key", KEY])
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines[1:-1] if line.split()[1] != "pass"] == []
    assert (code, lines[-1]) == (0, "25 pass")


class Poor(BaseHTTPRequestHandler):
    """A server that answers every GET with 200 and every POST with an error in plain text."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer(200, json.dumps({}).encode())

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.answer(500, b"Internal Server Error")

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Write nothing."""


def test_a_server_that_is_none_passes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    server = HTTPServer(("127.0.0.1", 0), Poor)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        code = main([f"http://127.0.0.1:{server.server_port}"])
    finally:
        server.shutdown()
        server.server_close()
    lines = capsys.readouterr().out.splitlines()
    assert code == 1
    assert len(lines) == len(POINTS) + 2
    assert [line for line in lines if " pass " in line] == []

"""Debian's docker-registry on a loopback port, and a gate before it that does what a test asks."""

import base64
import http.client
import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.ports import free_port
from tests.support.threaded import threaded_server

PROGRAM = shutil.which("docker-registry")
START_S = 60
CONFIG = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {root}}}, cache: {{blobdescriptor: inmemory}}}}
http: {{addr: "127.0.0.1:{port}", secret: of the tests{tls}}}
{auth}
"""


class DockerRegistry:
    """A docker-registry that can be killed and started on its port, with what it has stored."""

    def __init__(self, directory: Path, *, tls: str = "", auth: str = "") -> None:
        """Start nothing yet.

        Args:
            directory: of its configuration and blobs.
            tls: more of the section `http`, after a comma.
            auth: more sections.
        """
        self.root = directory / "blobs"
        self.port = free_port()
        self._config = directory / "registry.yml"
        text = CONFIG.format(root=self.root, port=self.port, tls=tls, auth=auth)
        self._config.write_text(text, encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        assert PROGRAM is not None
        self._process = subprocess.Popen(
            [PROGRAM, "serve", str(self._config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end_s = time.monotonic() + START_S
        while time.monotonic() < end_s:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            if self._process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(f"docker-registry does not answer after {START_S} s")

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def blob(self, sha256: str) -> Path:
        """Return the file that holds a blob."""
        return self.root / f"docker/registry/v2/blobs/sha256/{sha256[:2]}/{sha256}/data"


@dataclass
class Gate:
    """A proxy before a registry, which notes each request."""

    registry_port: int
    port: int = 0
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    basic: str = ""  # user:password that is asked for
    token: str = ""  # that is asked for, and got at /token with `basic`
    redirect_to: str = ""  # host:port that sends the blobs
    cut_after: list[int] = field(default_factory=list)  # bytes of the next bodies that get through
    sent: int = 0  # bytes of blobs to clients
    resumes: bool = False  # keep the bytes of a cut upload, as docker-registry does from 3.0 on
    held: bytes = b""
    stall: threading.Event | None = None  # that a cut body waits for before the connection ends

    @property
    def host(self) -> str:
        """Return host and port."""
        return f"127.0.0.1:{self.port}"

    def of(self, method: str, part: str = "") -> list[dict[str, str]]:
        """Return the headers of the requests of a method whose path holds a text."""
        return [headers for verb, path, headers in self.requests if verb == method and part in path]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    gate: Gate

    def _answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def _handle(self) -> None:
        gate = self.gate
        gate.requests.append((self.command, self.path, dict(self.headers)))
        self.close_connection = True
        if self.path.startswith("/token"):
            return self._give_token()
        expected = f"Bearer {gate.token}" if gate.token else _basic(gate.basic)
        if expected and self.headers.get("Authorization") != expected:
            realm = f'Bearer realm="http://{gate.host}/token",service="tests"'
            challenge = realm if gate.token else 'Basic realm="tests"'
            return self._answer(401, {"WWW-Authenticate": challenge})
        if gate.redirect_to and self.command == "GET" and "/blobs/sha256:" in self.path:
            return self._answer(307, {"Location": f"http://{gate.redirect_to}{self.path}"})
        if self.command == "GET" and "/blobs/uploads/" in self.path and gate.resumes:
            place = {"Location": self.path, "Range": f"0-{len(gate.held) - 1}"}
            return self._answer(204, place)
        if self.command == "PATCH" and gate.resumes and gate.cut_after:
            gate.held = self.rfile.read(gate.cut_after.pop(0))
            return None
        with suppress(OSError, http.client.HTTPException):
            upstream = http.client.HTTPConnection("127.0.0.1", gate.registry_port, timeout=60)
            with closing(upstream):
                self._forward(upstream)
        return None

    def _give_token(self) -> None:
        if self.headers.get("Authorization") != _basic(self.gate.basic):
            return self._answer(401, {}, b'{"errors": [{"code": "UNAUTHORIZED"}]}')
        scope = parse_qs(urlsplit(self.path).query)["scope"][0]
        assert scope.startswith("repository:")
        return self._answer(200, {}, json.dumps({"token": self.gate.token}).encode())

    def _forward(self, upstream: http.client.HTTPConnection) -> None:
        length = int(self.headers.get("Content-Length", 0))
        upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name not in ("Authorization", "Content-Length", "Content-Range"):
                upstream.putheader(name, value)
        held, self.gate.held = self.gate.held, b""
        if self.command != "GET":
            upstream.putheader("Content-Length", str(length + len(held)))
        upstream.endheaders(held or None)
        is_cut = self._copy(self.rfile, upstream, length) if length else False
        if is_cut:
            return
        response = upstream.getresponse()
        self.send_response(response.status)
        for name, value in response.getheaders():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self._copy_answer(response)

    def _copy(self, source: Any, upstream: http.client.HTTPConnection, length: int) -> bool:
        most = self.gate.cut_after.pop(0) if self.gate.cut_after else length
        rest = min(length, most)
        while rest and (data := source.read(min(65536, rest))):
            upstream.send(data)
            rest -= len(data)
        return most < length

    def _copy_answer(self, response: http.client.HTTPResponse) -> None:
        is_blob = "/blobs/sha256:" in self.path
        most = self.gate.cut_after.pop(0) if is_blob and self.gate.cut_after else None
        while data := response.read(65536 if most is None else min(65536, most)):
            self.wfile.write(data)
            self.gate.sent += len(data) if is_blob else 0
            most = None if most is None else most - len(data)
        if most == 0 and self.gate.stall is not None:
            self.gate.stall.wait(START_S)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = _handle  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


def _basic(pair: str) -> str:
    return f"Basic {base64.b64encode(pair.encode()).decode()}" if pair else ""


@contextmanager
def docker_registry(directory: Path, *, tls: str = "", auth: str = "") -> Iterator[DockerRegistry]:
    """Run a docker-registry until the block ends; skip the test where there is none."""
    if PROGRAM is None:
        pytest.skip("docker-registry is not installed")
    registry = DockerRegistry(directory, tls=tls, auth=auth)
    try:
        registry.start()
        yield registry
    finally:
        registry.kill()


@contextmanager
def gate_before(registry: DockerRegistry) -> Iterator[Gate]:
    """Run a gate before a registry until the block ends."""
    gate = Gate(registry.port)
    handler = type("Handler", (_Handler,), {"gate": gate})
    with threaded_server(handler) as gate.port:
        yield gate

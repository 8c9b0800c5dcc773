"""SIGTERM, SIGINT and SIGHUP: no accepted request is lost, and the end comes in bounded time."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest

from tests.support.artifacts import CLASSIFIER, SLOW, write_artifact, write_slow_start
from tests.support.images import solid
from tests.support.server_process import PROJECT, Server, environment, serving

BRIGHT = solid(255, 255, 255)  # tiny_slow takes about a second for it


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("slow")
    write_artifact(root, CLASSIFIER)
    write_artifact(root, SLOW)
    return root


def connect(server: Server) -> socket.socket:
    port = int(server.url.rpartition(":")[2])
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def read_all(connection: socket.socket) -> bytes:
    answer = b""
    while data := connection.recv(65536):
        answer += data
    return answer


def head(path: str, length: int) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode()


def wait_for(server: Server, line: str) -> None:
    """Read the server's log until a line that contains this text."""
    assert server.process.stderr is not None
    for text in server.process.stderr:
        if line in text:
            return
    pytest.fail(f"the log ended without {line!r}")


def test_a_running_request_is_answered_after_the_port_is_closed(slow: Path) -> None:
    with serving(SLIPWAY_ARTIFACTS=str(slow), SLIPWAY_GRACE="0") as server:
        with connect(server) as connection:
            connection.sendall(head("/v1/models/tiny_slow", len(BRIGHT)) + BRIGHT)
            time.sleep(0.2)
            server.process.send_signal(signal.SIGTERM)
            wait_for(server, "Shutting down")
            with pytest.raises(httpx.ConnectError):
                httpx.get(f"{server.url}/health", timeout=60)
            answer = read_all(connection)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\nconnection: close\r\n" in answer
        assert b'"label":"bright"' in answer
        assert server.process.wait(timeout=10) == 0


def test_in_the_grace_each_answer_closes_its_connection_and_the_server_is_not_ready(
    slow: Path,
) -> None:
    with serving(SLIPWAY_ARTIFACTS=str(slow), SLIPWAY_GRACE="60") as server:
        with httpx.Client(base_url=server.url, timeout=60) as client:
            assert "connection" not in client.get("/v2/health/ready").headers
            server.process.send_signal(signal.SIGTERM)
            wait_for(server, "ending")
            ready = client.get("/v2/health/ready")
            assert (ready.status_code, ready.json()["reason"]) == (503, "the server ends")
            assert int(ready.headers["retry-after"]) >= 1
            for path in ("/v2/health/live", "/no/route"):
                assert client.get(path).headers["connection"] == "close"
            assert client.post("/v1/face-emotion", content=BRIGHT).status_code == 200
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=30) == 1  # in the time of grace


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_sixteen_clients_that_keep_their_connections_lose_nothing(
    slow: Path, number: signal.Signals
) -> None:
    with serving(SLIPWAY_ARTIFACTS=str(slow), SLIPWAY_GRACE="1") as server:
        clients = [KeepAliveClient(server) for _ in range(16)]
        for client in clients:
            client.start()
        wait_for_answers(clients, 2)
        server.process.send_signal(number)
        for client in clients:
            client.join(timeout=60)
        assert server.process.wait(timeout=25) == 0
    assert [client.lost for client in clients] == [""] * 16


def wait_for_answers(clients: Sequence["KeepAliveClient"], number: int) -> None:
    """Wait until each client has more answers than `number`."""
    end_s = time.monotonic() + 60
    while min(client.answers for client in clients) <= number:
        assert time.monotonic() < end_s, [client.lost or client.answers for client in clients]
        time.sleep(0.01)


class KeepAliveClient(threading.Thread):
    """Asks in a loop, as a connection pool does, until no connection is accepted any more."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._port = int(server.url.rpartition(":")[2])
        self.answers = 0
        self.lost = ""

    def run(self) -> None:
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
            try:
                connection.connect()
            except OSError:
                return  # the port is closed: nothing was accepted
            try:
                self._ask_until_closed(connection)
            except (OSError, http.client.HTTPException) as error:
                self.lost = f"after {self.answers} answers: {error!r}"
                return
            finally:
                connection.close()

    def _ask_until_closed(self, connection: http.client.HTTPConnection) -> None:
        closes = False
        while not closes:
            connection.request("POST", "/v1/face-emotion", BRIGHT)
            response = connection.getresponse()
            content = json.loads(response.read())
            if response.status != 429:
                assert content["result"]["label"] == "bright"
            self.answers += 1
            closes = response.getheader("Connection") == "close"


def test_an_upload_that_stalls_is_cut_with_503_at_the_deadline(slow: Path) -> None:
    options = {"SLIPWAY_GRACE": "0", "SLIPWAY_STOP_TIMEOUT": "2"}
    with serving(SLIPWAY_ARTIFACTS=str(slow), **options) as server:
        with connect(server) as connection:
            connection.sendall(head("/v1/face-emotion", 1000) + b"only this")
            time.sleep(0.2)
            server.process.send_signal(signal.SIGTERM)
            answer = read_all(connection)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nretry-after: 1\r\n" in answer
        assert b'{"error":"the server ends' in answer
        assert server.process.wait(timeout=10) == 0


def test_a_client_that_never_reads_does_not_hold_the_end_up(slow: Path) -> None:
    options = {"SLIPWAY_GRACE": "0", "SLIPWAY_STOP_TIMEOUT": "2"}
    with serving(SLIPWAY_ARTIFACTS=str(slow), **options) as server, connect(server) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.setblocking(False)
        requests = b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n" * 200
        end = time.monotonic() + 3
        try:
            while time.monotonic() < end:  # until the server's answers stand still
                connection.send(requests)
                time.sleep(0.01)
        except OSError:
            pass
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=15) in (0, 1)


def test_sighup_is_logged_and_ends_nothing(slow: Path) -> None:
    with serving(SLIPWAY_ARTIFACTS=str(slow)) as server:
        server.process.send_signal(signal.SIGHUP)
        wait_for(server, "SIGHUP: the models and routing.json are read again")
        assert httpx.get(f"{server.url}/v2/health/ready", timeout=60).status_code == 200


def test_sigterm_while_models_load_ends_the_server(tmp_path: Path) -> None:
    write_slow_start(tmp_path)
    with serving(SLIPWAY_ARTIFACTS=str(tmp_path), SLIPWAY_GRACE="0", until="listening") as server:
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=15) == 0


@pytest.mark.parametrize("delay_s", [0.05, 0.1, 0.2])
def test_sigterm_while_the_server_is_imported_ends_it(slow: Path, delay_s: float) -> None:
    # the marker is printed once the handlers are there
    code = (
        "import sys, os, signal, runpy\n"
        "catch = signal.signal\n"
        "def marked(number, handler):\n"
        "    catch(number, handler)\n"
        "    if number == signal.SIGHUP: print('caught', flush=True)\n"
        "signal.signal = marked\n"
        "sys.argv = ['serve', '--port', '0']\n"
        "runpy.run_module('serve', run_name='__main__')\n"
    )
    environ = environment(SLIPWAY_ARTIFACTS=str(slow), SLIPWAY_GRACE="0")
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "caught\n"
        time.sleep(delay_s)
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, log
    assert "Traceback" not in log

"""`python -m serve monitor` beside a real server."""

import io
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest

from serve.commands.monitor import main
from serve.settings import Settings
from tests.serve.support.server import running
from tests.support.images import solid
from tests.support.ports import free_port
from tests.support.server_process import PROJECT, environment

MODEL = "face_emotion_xception"


@pytest.fixture(scope="module")
def server(artifacts: Path) -> Iterator[httpx.Client]:
    with running(Settings(artifacts=artifacts)) as client:
        yield client


def url_of(client: httpx.Client) -> str:
    return str(client.base_url)


def watch(url: str, *more: str, count: int = 1) -> int:
    return main([url, "--interval", "0.5", "--count", str(count), *more])


def test_lines_where_stdout_is_no_terminal(
    server: httpx.Client, capsys: pytest.CaptureFixture[str]
) -> None:
    end = threading.Event()

    def ask() -> None:
        while not end.is_set():
            server.post(f"/v1/models/{MODEL}", content=solid(1, 2, 3))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        assert watch(url_of(server), count=2) == 0
    finally:
        end.set()
        thread.join()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    for line in lines:
        time_of_day, ready, *words = line.split()
        assert len(time_of_day) == 8
        assert ready == "ready"
        values = dict(word.split("=") for word in words)
        assert float(values["requests/s"]) > 0
        assert values["errors/s"] == "0.0"
        assert values["p50"].endswith("ms")
        assert int(values["memory"].removesuffix("MB")) > 50


def test_a_table_of_models_on_a_terminal(
    server: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdout", terminal)
    assert watch(url_of(server) + "/metrics") == 0
    screen = terminal.getvalue()
    assert screen.startswith("\x1b[H\x1b[2J")
    lines = screen.splitlines()
    heads = [line.split() for line in lines if line.startswith(("requests/s", "model"))]
    assert heads[0][:4] == ["requests/s", "errors/s", "p50", "p99"]
    (row,) = (line.split() for line in lines if line.startswith(MODEL))
    assert row[1] == "ready"
    assert row[-1].endswith("MB")
    assert max(map(len, lines[1:])) <= 120


def test_what_is_wrong_is_told_in_one_line(
    server: httpx.Client, capsys: pytest.CaptureFixture[str]
) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>")

        def log_message(self, *arguments: object) -> None:
            pass

    other = HTTPServer(("127.0.0.1", 0), Other)
    threading.Thread(target=other.serve_forever, daemon=True).start()
    nobody = f"127.0.0.1:{free_port()}"
    try:
        for url, problem in {
            nobody: f"http://{nobody}/metrics does not answer: ",
            f"{url_of(server)}/nothing": "answers 404; the server may have a port of its own",
            f"http://127.0.0.1:{other.server_port}": "has no figures of Slipway",
            "ftp://a": "URL is 'ftp://a'; allowed: http://HOST:PORT",
        }.items():
            assert watch(url) == 1
            assert problem in capsys.readouterr().err
    finally:
        other.shutdown()
        other.server_close()


def test_a_server_that_goes_away_is_waited_for(
    server: httpx.Client, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from serve.commands import monitor

    real, calls = monitor.read, iter((True, False, True))

    def read(address: str) -> object:
        if next(calls):
            return real(address)
        raise monitor.MonitorError("gone")

    monkeypatch.setattr(monitor, "read", read)
    assert watch(url_of(server), count=2) == 0
    gone, back = capsys.readouterr().out.splitlines()
    assert gone == "gone"
    assert "requests/s=" in back


def test_ctrl_c_ends_it_quietly(server: httpx.Client) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "serve", "monitor", url_of(server), "--interval", "0.5"],
        cwd=PROJECT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert "requests/s=" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (0, "")

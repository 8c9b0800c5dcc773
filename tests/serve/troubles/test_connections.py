"""Idle connections, more than the process may open files; and how long one may be idle."""

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.serve.troubles.conftest import Starter
from tests.serve.troubles.support.growth import PICTURE, trouble
from tests.serve.troubles.support.scale import Scale
from tests.serve.troubles.support.table import Figures
from tests.serve.troubles.support.wire import LIVE, Client, ask, head, post

IDLE = 1100
ROUTE = "/v1/models/face_emotion_xception"
LOG_LINES = 20  # beside one of each request
SOFT = ("/bin/sh", "-c", 'ulimit -Sn 1024; exec "$@"', "sh")
HARD = ("/bin/sh", "-c", 'ulimit -n 1024; exec "$@"', "sh")


@pytest.fixture
def many_files() -> Iterator[None]:
    """Let this process open as many files as its hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= hard < 4 * IDLE:
        pytest.skip(f"this process may open {hard} files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (4 * IDLE, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("prefix", [SOFT, HARD], ids=["soft limit 1024", "hard limit 1024"])
@pytest.mark.parametrize("requested", [False, True], ids=["silent", "after a request"])
def test_idle_connections(
    start: Starter,
    scale: Scale,
    figures: Figures,
    many_files: None,
    prefix: tuple[str, ...],
    requested: bool,
) -> None:
    if requested == (prefix == HARD) and not scale.soak:
        pytest.skip("in make soak")
    server = start(prefix=prefix)
    lines_before = len(server.log_text().splitlines())
    refused = 0
    with trouble(server, figures), ExitStack() as stack:
        for _ in range(IDLE):
            try:
                client = stack.enter_context(Client(server.port))
                if requested:
                    client.send(head("GET", LIVE))
                    refused += client.answer() is None
            except OSError:
                refused += 1
        served = [ask(server.port, post(ROUTE, PICTURE)) for _ in range(scale.rounds)]
        time.sleep(0.5)
    lines = [line for line in server.log_text().splitlines()[lines_before:] if " id=" not in line]
    answered = sum(answer is not None and answer.status == 200 for answer in served)
    figures.equal("connections refused", refused, 0)
    figures.equal("requests answered", answered, scale.rounds)
    figures.at_most("log lines", len(lines), LOG_LINES, "")


def test_keep_alive_is_apart_from_the_head(start: Starter, figures: Figures) -> None:
    """Check that a connection may be idle for longer than a head may take."""
    server = start(settings={"TIMEOUT": "1"})
    with Client(server.port) as client:
        for _ in range(2):
            client.send(head("GET", LIVE))
            answer = client.answer()
            figures.equal("answered", answer and answer.status, 200)
            time.sleep(1.8)


def test_idle_connections_end(start: Starter, figures: Figures) -> None:
    """Neither silence nor stray empty lines keep a connection open."""
    server = start(settings={"TIMEOUT": "2", "SLIPWAY_KEEP_ALIVE": "2"})
    cases = {
        "silent": (b"", b""),
        "after a request": (head("GET", LIVE), b""),
        "after a request and an empty line": (head("GET", LIVE), b"\r\n"),
        "after an empty line": (b"", b"\r\n"),
    }
    with ExitStack() as stack:
        begin = time.monotonic()
        clients = {name: stack.enter_context(Client(server.port)) for name in cases}
        for name, (first, stray) in cases.items():
            clients[name].send(first)
            if first:
                assert clients[name].answer() is not None
            clients[name].send(stray)
        for name, client in clients.items():
            ended = client.is_closed_within(max(0.1, begin + 8 - time.monotonic()))
            figures.equal(f"{name}, ended", ended, True)
            figures.at_most(f"{name}, after", time.monotonic() - begin, 4, "s")


def test_connections_that_are_reset(start: Starter, scale: Scale, figures: Figures) -> None:
    """Check that a client that vanishes leaves no error and no traceback behind."""
    server = start()
    with trouble(server, figures, growth_mb=16):
        for index in range(10 * scale.rounds):
            with Client(server.port) as client:
                request = post(ROUTE, PICTURE)
                client.send(request[: len(request) * (index % 11) // 10])
                # an abortive close: RST in place of FIN
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    figures.equal("a traceback in the log", "Traceback" in server.log_text(), False)

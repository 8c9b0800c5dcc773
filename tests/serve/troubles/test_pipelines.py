"""Requests sent at once and chunks of one byte delay nobody else."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.serve.troubles.conftest import Starter
from tests.serve.troubles.support.growth import PROBE_S, trouble
from tests.serve.troubles.support.scale import Scale
from tests.serve.troubles.support.table import Figures
from tests.serve.troubles.support.wire import LIVE, Client, head

GROWTH_MB = 16
ATTACK_S = 8.0  # a server that delays the attacker alone does right: it need not serve all of it
GET = head("GET", LIVE)
CHUNK = b"1\r\na\r\n"
CHUNKED = head("POST", "/v1/models/face_emotion_xception", "Transfer-Encoding: chunked")

Bytes = Callable[[Scale], bytes]


def pipelined(scale: Scale) -> bytes:
    """Return many GETs."""
    return GET * (scale.pipelined_bytes // len(GET))


def pipelined_errors(scale: Scale) -> bytes:
    """Return many GETs of a path that does not exist."""
    request = head("GET", "/none")
    return request * (scale.pipelined_bytes // len(request))


def one_byte_chunks(scale: Scale) -> bytes:
    """Return a body in chunks of one byte."""
    return CHUNKED + CHUNK * (scale.chunked_bytes // len(CHUNK)) + b"0\r\n\r\n"


def send(port: int, data: bytes, *, reads: bool, ended: threading.Event) -> None:
    """Send data as fast as the server takes it, until the test ends; read the answers or none."""
    with Client(port, timeout_s=0.2) as client:
        client.socket.setblocking(False)
        view, end = memoryview(data), False
        while not ended.wait(0.001) and not end:
            try:
                while view:
                    view = view[client.socket.send(view[:65536]) :]
            except BlockingIOError:
                pass
            except ConnectionError:
                return
            try:
                while reads and not end:
                    end = not client.socket.recv(65536)
            except BlockingIOError:
                pass
            except ConnectionError:
                return


@pytest.fixture
def senders() -> Iterator[Callable[..., None]]:
    """Return a function that starts a sender; all of them end with the test."""
    ended = threading.Event()
    with ExitStack() as stack:
        stack.callback(ended.set)

        def begin(port: int, data: bytes, *, reads: bool) -> None:
            thread = threading.Thread(
                target=send, args=(port, data), kwargs={"reads": reads, "ended": ended}
            )
            thread.start()
            stack.callback(thread.join)
            stack.callback(ended.set)

        yield begin


@pytest.mark.parametrize("reads", [True, False], ids=["reads", "reads nothing"])
@pytest.mark.parametrize("content", [pipelined, pipelined_errors, one_byte_chunks])
@pytest.mark.parametrize("connections", ["one", "many"])
def test_at_once(
    start: Starter,
    senders: Callable[..., None],
    scale: Scale,
    figures: Figures,
    content: Bytes,
    reads: bool,
    connections: str,
) -> None:
    if (connections == "many") != reads and not scale.soak:
        pytest.skip("in make soak")
    server = start()
    data = content(scale)
    done = threading.Event()
    number = scale.many if connections == "many" else 1
    with trouble(server, figures, growth_mb=GROWTH_MB) as measured:
        for _ in range(number):
            senders(server.port, data, reads=reads)
        done.wait(ATTACK_S if scale.soak and connections == "many" else 1.5)
    figures.at_most("live max", measured.probe.max_s, 4 * PROBE_S, "s")

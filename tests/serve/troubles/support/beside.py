"""Troubles of all kinds beside the requests of a test, one after the other, on the same server."""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from tests.serve.troubles.support import kernel, memory
from tests.serve.troubles.support.scale import Scale
from tests.serve.troubles.support.server import Server
from tests.serve.troubles.support.wire import LIVE, Client, head, post

CLIENTS = 8  # of each trouble that has several
IDLE = 200
LIMIT = 10 * 2**20
BLOCK = b"a" * 65536
CHUNK = b"1\r\na\r\n"
ROUTE = "/v1/models/face_emotion_xception"
GET = head("GET", LIVE)
CHUNKED = head("POST", ROUTE, "Transfer-Encoding: chunked")


def head_without_end(server: Server, scale: Scale) -> None:
    """Send a field of a head that does not end."""
    with Client(server.port) as client:
        client.send_until_refused(
            [GET[:-2], b"X-Long: ", *[BLOCK] * (scale.flood_bytes // len(BLOCK))]
        )


def one_byte_chunks(server: Server, scale: Scale) -> None:
    """Send a body in chunks of one byte."""
    with Client(server.port) as client:
        client.send_until_refused([CHUNKED, CHUNK * (scale.chunked_bytes // len(CHUNK))])


def pipelined(server: Server, scale: Scale) -> None:
    """Send many requests at once and read no answer."""
    with Client(server.port) as client:
        client.send_until_refused([GET * (scale.pipelined_bytes // len(GET))])
        time.sleep(_seconds(scale))


def stalled_uploads(server: Server, scale: Scale) -> None:
    """Send uploads that lack their last byte, and leave."""
    with ExitStack() as stack:
        for _ in range(CLIENTS):
            client = stack.enter_context(Client(server.port))
            client.send_until_refused([head("POST", ROUTE, f"Content-Length: {LIMIT}")])
            client.send_until_refused([bytes(LIMIT - 1)])
        time.sleep(_seconds(scale))


def unread_answers(server: Server, scale: Scale) -> None:
    """Ask for many answers without reading one."""
    request = post(ROUTE, BLOCK)
    with ExitStack() as stack:
        for _ in range(CLIENTS):
            client = stack.enter_context(Client(server.port, receive_bytes=4096))
            client.send_until_refused([request, *[GET] * 10_000])
        time.sleep(_seconds(scale))


def idle_connections(server: Server, scale: Scale) -> None:
    """Open connections that ask for nothing."""
    with ExitStack() as stack:
        for _ in range(IDLE):
            stack.enter_context(Client(server.port))
        time.sleep(_seconds(scale))


def large_json(server: Server, scale: Scale) -> None:
    """Send JSON of small things up to the limit."""
    body = b'{"image":[' + b"1," * (LIMIT // 2 - 100) + b"1]}"
    with Client(server.port) as client:
        client.send_until_refused([post(ROUTE, body, "Content-Type: application/json")])
        client.answer()


def killed_decoder(server: Server, scale: Scale) -> None:
    """Kill a decoder process, if there is one."""
    for pid in memory.process_tree(server.pid)[1:2]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def leaving_clients(server: Server, scale: Scale) -> None:
    """Send requests and leave before the answer."""
    for _ in range(CLIENTS):
        with Client(server.port) as client:
            client.send(post("/v1/models/background_u2netp", b"no picture" * 100))


TROUBLES: tuple[Callable[[Server, Scale], None], ...] = (
    head_without_end, one_byte_chunks, pipelined, stalled_uploads, unread_answers,
    idle_connections, large_json, killed_decoder, leaving_clients,
)  # fmt: skip


def _seconds(scale: Scale) -> float:
    """Return how long clients that wait do so."""
    return 2.0 if scale.soak else 0.2


class Beside:
    """Count the troubles that went on beside the requests of a test."""

    def __init__(self) -> None:
        """Begin without any."""
        self.rounds: Counter[str] = Counter()
        self.failures: list[str] = []  # of the troubles' own code
        self.highest_mb = 0.0  # memory of all processes and the bytes in queues of sockets


@contextmanager
def troubles_beside(server: Server, scale: Scale) -> Iterator[Beside]:
    """Make one trouble after the other while the block runs, again and again."""
    beside, ended = Beside(), threading.Event()

    def make_troubles() -> None:
        while not ended.is_set():
            for trouble in TROUBLES:
                if ended.is_set():
                    return
                try:
                    with suppress(OSError):  # the server may close or reset at any time
                        trouble(server, scale)
                except Exception as error:
                    beside.failures.append(f"{trouble.__name__}: {error!r}")
                beside.rounds[trouble.__name__] += 1

    def sample() -> None:
        while not ended.wait(memory.PERIOD_S):
            queued_mb = kernel.waiting(server.port) / memory.MEGABYTE
            beside.highest_mb = max(beside.highest_mb, server.samples.last_mb + queued_mb)

    threads = [threading.Thread(target=target, daemon=True) for target in (make_troubles, sample)]
    for thread in threads:
        thread.start()
    try:
        yield beside
    finally:
        ended.set()
        for thread in threads:
            thread.join()

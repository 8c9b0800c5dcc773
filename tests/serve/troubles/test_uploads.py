"""Uploads that stall or drip, while others send theirs."""

import time
from contextlib import ExitStack

from tests.serve.troubles.conftest import Starter
from tests.serve.troubles.support.growth import PICTURE, trouble
from tests.serve.troubles.support.scale import MB, Scale
from tests.serve.troubles.support.table import Figures
from tests.serve.troubles.support.wire import Client, ask, head, post

TIMEOUT_S = 3
STALLED = 8
LIMIT = 10 * 2**20
ROUTE = "/v1/models/face_emotion_xception"
LARGE = PICTURE + bytes(2 * MB)  # a picture and what follows it
OTHERS = ("127.0.0.1", "127.0.0.2")


def test_stalled_uploads(start: Starter, scale: Scale, figures: Figures) -> None:
    server = start(settings={"TIMEOUT": str(TIMEOUT_S)})
    with trouble(server, figures), ExitStack() as stack:
        clients = [stack.enter_context(Client(server.port)) for _ in range(STALLED)]
        for client in clients:
            client.send_until_refused([head("POST", ROUTE, f"Content-Length: {LIMIT}")])
            client.send_until_refused([bytes(LIMIT - 1)])
        refused = {"small": 0, "large": 0}
        longest_s = 0.0
        for index in range(scale.rounds):
            for name, body in (("small", PICTURE), ("large", LARGE)):
                begin = time.monotonic()
                source = OTHERS[1] if name == "large" else OTHERS[index % 2]
                answer = ask(server.port, post(ROUTE, body), source=source)
                longest_s = max(longest_s, time.monotonic() - begin)
                refused[name] += answer is None or answer.status != 200
        begin = time.monotonic()
        ended = [client.is_closed_within(3 * TIMEOUT_S) for client in clients]
        waited_s = time.monotonic() - begin
    figures.equal("small uploads of others refused", refused["small"], 0)
    figures.equal("large uploads of another client refused", refused["large"], 0)
    figures.at_most("longest wait of others", longest_s, 0.5, "s")
    figures.equal("stalled uploads ended", sum(ended), STALLED)
    figures.at_most("and within", waited_s, TIMEOUT_S + 1, "s")


def test_dripping_uploads(start: Starter, scale: Scale, figures: Figures) -> None:
    """Send a byte now and then, which would hold a connection for ever."""
    server = start(settings={"TIMEOUT": str(TIMEOUT_S)})
    with trouble(server, figures), ExitStack() as stack:
        clients = [stack.enter_context(Client(server.port)) for _ in range(STALLED)]
        for client in clients:
            client.send(head("POST", ROUTE, "Content-Length: 100000"))
        open_clients, begin = set(clients), time.monotonic()
        while open_clients and time.monotonic() < begin + 4 * TIMEOUT_S:
            for client in tuple(open_clients):
                try:
                    client.send(b"a")
                except OSError:
                    open_clients.discard(client)
            time.sleep(0.2)
        lasted_s = time.monotonic() - begin
    figures.equal("dripping uploads left", len(open_clients), 0)
    figures.at_most("ended after", lasted_s, 3 * TIMEOUT_S, "s")


def test_dripping_heads(start: Starter, figures: Figures) -> None:
    server = start(settings={"TIMEOUT": "1"})
    with Client(server.port) as client:
        begin = time.monotonic()
        client.send(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\nX: ")
        lasted_s = 0.0
        while lasted_s < 8:
            try:
                client.send(b"a")
            except OSError:
                break
            time.sleep(0.1)
            lasted_s = time.monotonic() - begin
    figures.at_most("a head may take", lasted_s, 2, "s")
    assert lasted_s < 8  # whatever the margin
    figures.equal("others answered", server.answers(), True)

"""The log tells nothing of a client's content, and never stops the server."""

import os

from tests.serve.troubles.conftest import Starter
from tests.serve.troubles.support.growth import PICTURE, trouble
from tests.serve.troubles.support.scale import Scale
from tests.serve.troubles.support.table import Figures
from tests.serve.troubles.support.wire import LIVE, Client, ask, head, post

ROUTE = "/v1/models/face_emotion_xception"
LINES = 3000  # of an access log: three times what a pipe holds
SECRET = "Zx9Secret"


def test_nothing_of_the_content(start: Starter, figures: Figures) -> None:
    server = start()
    boundary = "Content-Type: multipart/form-data; boundary=b"
    field = b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    requests = {
        "query": post(f"{ROUTE}?tta={SECRET}", PICTURE),
        "name of a parameter": post(f"{ROUTE}?{SECRET}=1", PICTURE),
        "condition": post(f"/v1/gait?condition={SECRET}", PICTURE),
        "path": head("GET", f"/none/{SECRET}"),
        "form": post("/v1/gait", field % (b"condition", SECRET.encode()) + b"--b--\r\n", boundary),
        "JSON": post(ROUTE, b'{"image":"%s"}' % SECRET.encode(), "Content-Type: application/json"),
        "v2": post("/v2/models/face_emotion_xception/infer", b'{"id":"%s"' % SECRET.encode()),
        "header": head("GET", LIVE, f"X-Name: {SECRET}", f"Authorization: Bearer {SECRET}"),
        "bad head": f"GET {SECRET}\r\n\r\n".encode(),
    }
    for request in requests.values():
        ask(server.port, request, timeout_s=10)
    figures.equal("in the log", SECRET in server.log_text(), False)


def ask_many(port: int, count: int) -> int:
    """Return how many of many requests are answered 200; each may be a line of the log."""
    with Client(port, timeout_s=5) as client:
        for index in range(count):
            client.send(head("GET", f"{LIVE}?{index}"))
            try:
                answer = client.answer()
            except TimeoutError:
                return index
            if answer is None or answer.status != 200:
                return index
    return count


def test_a_pipe_that_nobody_reads(start: Starter, figures: Figures) -> None:
    reading, writing = os.pipe()
    try:
        server = start(output=writing)
        with trouble(server, figures):
            answered = ask_many(server.port, LINES)
            answered += ask_many(server.port, LINES)
        figures.equal("answered", answered, 2 * LINES)
        failed = ask(server.port, post(ROUTE, b"no picture"))
        figures.equal("an error", failed and failed.status, 400)
    finally:
        os.close(reading)
        os.close(writing)


def test_a_pipe_that_is_closed(start: Starter, figures: Figures) -> None:
    reading, writing = os.pipe()
    server = start(output=writing)
    os.close(reading)
    os.close(writing)
    with trouble(server, figures):
        figures.equal("answered", ask_many(server.port, 100), 100)


def test_a_full_disk(start: Starter, scale: Scale, figures: Figures) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        server = start(output=full)
        with trouble(server, figures):
            figures.equal("answered", ask_many(server.port, LINES), LINES)
            for _ in range(scale.rounds):
                answer = ask(server.port, post(ROUTE, PICTURE))
                figures.equal("a picture", answer and answer.status, 200)
    finally:
        os.close(full)

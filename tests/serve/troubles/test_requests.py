"""Requests of real clients that are not plain, and requests that RFC 9112 refuses."""

import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from tests.serve.troubles.conftest import Starter
from tests.serve.troubles.support.growth import PICTURE
from tests.serve.troubles.support.table import Figures
from tests.serve.troubles.support.wire import LIVE, Answer, Client, ask, get, head, post

ROUTE = "/v1/models/face_emotion_xception"
LABEL = "bright"
# as java.net.http.HttpClient sends them with each request, and curl --http2
H2C = (
    "Connection: Upgrade, HTTP2-Settings",
    "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
    "Upgrade: h2c",
)


def label(answer: Answer | None) -> str:
    """Return the label of an answer, or what came instead."""
    if answer is None:
        return "no answer"
    return answer.json()["result"]["label"] if answer.status == 200 else str(answer.status)


def status(answer: Answer | None) -> int | str:
    """Return the status of an answer; "closed" without one."""
    return "closed" if answer is None else answer.status


def is_json_error(answer: Answer | None) -> bool:
    """Return whether an answer is {"error": "..."} of the type JSON."""
    kind = "" if answer is None else answer.headers.get("content-type", "")
    return answer is not None and bool(answer.error) and kind.startswith("application/json")


def chunked(body: bytes, size: int = 1000, extension: bytes = b"") -> bytes:
    """Return a body in chunks."""
    chunks = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x%s\r\n%s\r\n" % (len(c), extension, c) for c in chunks) + b"0\r\n\r\n"


def test_real_clients(start: Starter, figures: Figures) -> None:
    port = start().port
    size = f"Content-Length: {len(PICTURE)}"
    in_chunks = head("POST", ROUTE, "Transfer-Encoding: chunked")
    for name, request in {
        "h2c upgrade as java.net.http": post(ROUTE, PICTURE, *H2C),
        "h2c upgrade, chunked": head("POST", ROUTE, "Transfer-Encoding: chunked", *H2C)
        + chunked(PICTURE),
        "websocket upgrade": post(ROUTE, PICTURE, "Connection: Upgrade", "Upgrade: websocket"),
        "TLS upgrade": post(ROUTE, PICTURE, "Connection: Upgrade", "Upgrade: TLS/1.2, HTTP/1.1"),
        "chunks": in_chunks + chunked(PICTURE),
        "chunks of one byte": in_chunks + chunked(PICTURE, 1),
        "chunk extensions": in_chunks + chunked(PICTURE, extension=b';a="b"'),
        "a trailer": in_chunks + chunked(PICTURE)[:-2] + b"X-Checksum: 1\r\n\r\n",
        "an empty line first": b"\r\n" + post(ROUTE, PICTURE),
        "HTTP/1.0": head("POST", ROUTE, size, version="1.0") + PICTURE,
        "HTTP/1.0 without Host": head("POST", ROUTE, size, version="1.0", host=False) + PICTURE,
        "an absolute path": post(f"http://x{ROUTE}", PICTURE),
        "names of headers in upper case": post(ROUTE, PICTURE).replace(
            b"Content-Length", b"CONTENT-LENGTH"
        ),
        "Connection: close": post(ROUTE, PICTURE, "Connection: close"),
        "a header in Latin-1": post(ROUTE, PICTURE, "X-Name: Zo\xeb"),
    }.items():
        figures.equal(name, label(ask(port, request)), LABEL)


def test_curl_asks_for_http2(start: Starter, figures: Figures, tmp_path: Path) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    port = start().port
    picture = tmp_path / "picture.png"
    picture.write_bytes(PICTURE)
    for form in (["--data-binary", f"@{picture}"], ["-F", f"image=@{picture}"]):
        done = subprocess.run(
            [curl, "-sS", "-m", "20", "--http2", *form, f"http://127.0.0.1:{port}{ROUTE}"],
            capture_output=True, text=True,
        )  # fmt: skip
        figures.equal(f"curl --http2 {form[0]}", f'"label":"{LABEL}"' in done.stdout, True)


def test_connections_go_on_or_end(start: Starter, figures: Figures) -> None:
    port = start().port
    live, live_1_0 = head("GET", LIVE), head("GET", LIVE, version="1.0")
    keep_1_0 = head("GET", LIVE, "Connection: keep-alive", version="1.0")
    for name, request, again in (
        ("HTTP/1.1 goes on", live, True),
        ("Connection: close ends", head("GET", LIVE, "Connection: close"), False),
        ("HTTP/1.0 ends", live_1_0, False),
    ):
        with Client(port) as client:
            client.send(request)
            assert status(client.answer()) == 200
            figures.equal(name, not client.is_closed_within(0.3), again)
    with Client(port) as client:
        client.send(keep_1_0)
        answer = client.answer()
        assert answer is not None
        says_so = answer.headers.get("connection", "").lower() == "keep-alive"
        # without that field in the answer an HTTP/1.0 client waits for the end
        goes_on = not client.is_closed_within(0.3)
        figures.equal("HTTP/1.0 keep-alive as the answer says", goes_on <= says_so, True)
    with Client(port) as client:
        client.send(head("HEAD", LIVE) + live)
        first, second = client.answer(head_only=True), client.answer()
        figures.one_of("HEAD", status(first), (200, 405))
        figures.equal("the answer after HEAD", status(second), 200)


def test_expect(start: Starter, figures: Figures) -> None:
    port = start(settings={"MAX_UPLOAD_SIZE": "100000"}).port
    fields = (f"Content-Length: {len(PICTURE)}", "Expect: 100-continue")
    with Client(port) as client:
        client.send(head("POST", ROUTE, *fields))
        figures.equal("before the body", client.interim(), "HTTP/1.1 100 Continue")
        client.send(PICTURE)
        figures.equal("after the body", label(client.answer()), LABEL)
    with Client(port) as client:
        client.send(head("POST", ROUTE, "Content-Length: 100001", "Expect: 100-continue"))
        answer = client.answer()
        figures.equal("a body that is too large, before it is sent", status(answer), 413)
        figures.equal("JSON error", is_json_error(answer), True)
    with Client(port) as client:  # a client that does not wait
        client.send(head("POST", ROUTE, *fields) + PICTURE)
        figures.equal("with the body at once", label(client.answer()), LABEL)
    # RFC 9110 lets a server refuse or ignore what it does not know
    answer = ask(port, post(ROUTE, PICTURE, "Expect: 200-ok"))
    figures.one_of("another expectation", status(answer), (417, 200))


def test_refused(start: Starter, figures: Figures) -> None:
    port = start().port
    size = f"Content-Length: {len(PICTURE)}"
    te = "Transfer-Encoding: chunked"
    smuggled = head("GET", "/v1/models", "X-Smuggled: 1")
    in_chunks = head("POST", ROUTE, te)
    closed = (400, "closed")
    for name, request, allowed in (
        ("missing Host", head("GET", LIVE, host=False), closed),
        ("two Hosts", head("GET", LIVE, "Host: y"), closed),
        ("CL with TE", head("POST", ROUTE, size, te) + chunked(PICTURE), closed),
        ("TE with CL", head("POST", ROUTE, te, size) + chunked(PICTURE), closed),
        ("CL with TE and a request", head("POST", ROUTE, "Content-Length: 5", te)
         + b"0\r\n\r\n" + smuggled, closed),
        ("two lengths", head("POST", ROUTE, size, "Content-Length: 3") + PICTURE, closed),
        ("a list of lengths", head("POST", ROUTE, "Content-Length: 3, 4") + PICTURE, closed),
        ("a negative length", head("POST", ROUTE, "Content-Length: -1") + PICTURE, closed),
        ("a length in hexadecimal", head("POST", ROUTE, "Content-Length: 0x3") + PICTURE, closed),
        ("a length with a sign", head("POST", ROUTE, "Content-Length: +3") + PICTURE, closed),
        ("a length of 5000 digits", head("POST", ROUTE, "Content-Length: " + "9" * 5000),
         (400, 413)),
        ("TE: gzip", head("POST", ROUTE, "Transfer-Encoding: gzip") + PICTURE, (400, 501)),
        ("TE: chunked, gzip", head("POST", ROUTE, "Transfer-Encoding: chunked, gzip")
         + chunked(PICTURE), (400, 501)),
        ("TE: xchunked", head("POST", ROUTE, "Transfer-Encoding: xchunked")
         + chunked(PICTURE), (400, 501)),
        ("TE in HTTP/1.0", head("POST", ROUTE, te, version="1.0") + chunked(PICTURE),
         (*closed, 200)),
        ("a blank before the colon", b"GET /v2/health/live HTTP/1.1\r\nHost : x\r\n\r\n", closed),
        ("a folded field", b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
         (400, 200)),
        ("NUL in a field", b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n", closed),
        ("a size of a chunk that is no number", in_chunks + b"zz\r\naa\r\n0\r\n\r\n", closed),
        ("a size of a chunk of 17 digits", in_chunks + b"1" * 17 + b"\r\naa\r\n", (400, 413)),
        ("a chunk without its end", in_chunks + b"1\r\naXX0\r\n\r\n", closed),
        ("HTTP/3.0", b"GET /v2/health/live HTTP/3.0\r\nHost: x\r\n\r\n", (400, 505, 200)),
        ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, 404, 405, 505)),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x01" * 40, closed),
        ("no HTTP", b"\0\1\2\3 nothing\r\n\r\n", closed),
    ):  # fmt: skip
        answer = ask(port, request, timeout_s=10)
        figures.one_of(name, status(answer), allowed)
        if answer is not None and answer.status != 200:
            figures.equal(f"{name}, JSON error", is_json_error(answer), True)
    figures.equal("others answered", status(get(port, LIVE)), 200)


def test_no_request_is_smuggled(start: Starter, figures: Figures) -> None:
    port = start().port
    smuggled = head("GET", "/v1/models")
    for name, request in (
        ("CL with TE", head("POST", ROUTE, "Content-Length: 5", "Transfer-Encoding: chunked")
         + b"0\r\n\r\n" + smuggled),
        ("a body that is refused", head("POST", "/none", f"Content-Length: {len(smuggled)}")
         + smuggled),
        ("an upgrade with a body", head("POST", "/none", f"Content-Length: {len(smuggled)}", *H2C)
         + smuggled),
    ):  # fmt: skip
        with Client(port, timeout_s=1) as client:
            client.send(request)
            answers = []
            with suppress(TimeoutError):
                while (answer := client.answer()) is not None:
                    answers.append(answer.status)
        figures.at_most(f"answers to {name}", len(answers), 1, "")
        figures.equal(f"{name}, refused", 200 not in answers, True)


def test_every_error_is_json(start: Starter, figures: Figures) -> None:
    port = start(settings={"MAX_UPLOAD_SIZE": "100000"}).port
    gzip = ("Content-Encoding: gzip",)
    for name, request, expected in (
        ("no route", head("GET", "/none"), (404,)),
        ("no model", post("/v1/models/none", PICTURE), (404,)),
        ("another method", head("DELETE", LIVE), (405,)),
        ("an unknown method", head("BREW", LIVE), (400, 405, 501)),
        ("an empty body", post(ROUTE, b""), (400,)),
        ("no picture", post(ROUTE, b"nothing"), (400,)),
        ("too large", head("POST", ROUTE, "Content-Length: 100001"), (413,)),
        ("too large in chunks", head("POST", ROUTE, "Transfer-Encoding: chunked")
         + chunked(b"a" * 120_000), (413,)),
        ("compressed", post(ROUTE, PICTURE, *gzip), (415,)),
        ("a bad escape", head("GET", "/v1/models/%zz"), (404,)),
        ("no UTF-8", head("GET", "/v1/models/%ff"), (404,)),
    ):  # fmt: skip
        answer = ask(port, request, timeout_s=10)
        figures.one_of(name, status(answer), expected)
        figures.equal(f"{name}, JSON error", is_json_error(answer), True)

"""serve/client.py against a real server, and against one that answers as a test wants."""

import array
import asyncio
import contextlib
import gc
import io
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from serve import client as slipway
from serve.client import AsyncClient, Client, DeadlineError, Request, Response, ServerError, Tensor
from serve.settings import Settings
from tests.runtime.support.recordings import shades, sound, tone, video
from tests.serve.support.scripted import answer_of, scripted
from tests.serve.support.server import running
from tests.support.artifacts import write_every_task
from tests.support.documents import read_blocks
from tests.support.images import solid

T = TypeVar("T")
Send = Callable[..., Any]
KEY = "secret"
PICTURE = solid(0, 255, 0)
MODEL = "face_emotion_xception"
PROJECT = Path(__file__).parents[2]
VERSIONS = ("3.11", "3.12", "3.13")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = write_every_task(tmp_path_factory.mktemp("artifacts"))
    settings = Settings(
        artifacts=root, face_detector_model="tiny_detector", admin_key=KEY, queue_s=60
    )
    with running(settings) as client:
        yield str(client.base_url)


def send_once(url: str, request: Request[T], **settings: Any) -> T:
    with Client(url, **settings) as client:
        return client.send(request)


def send_async(url: str, request: Request[T], **settings: Any) -> T:
    async def run() -> T:
        async with AsyncClient(url, **settings) as client:
            return await client.send(request)

    return asyncio.run(run())


@pytest.fixture(params=[send_once, send_async], ids=["sync", "async"])
def send(request: pytest.FixtureRequest) -> Send:
    function: Send = request.param
    return function


def test_every_task(send: Send, url: str, tmp_path: Path) -> None:
    face = send(url, slipway.face_emotion(PICTURE, faces="all", tta="flip", early_exit=False))
    assert (face.model, face.result["tta"], face.weights_origin) == (MODEL, "flip", "pretrained")
    alone = send(url, slipway.face_emotion(PICTURE, crop="none", vote_weights={MODEL: 0.5}))
    assert alone.result["faces"][0]["members"][0]["weight"] == 0.5
    voice = send(url, slipway.voice_emotion(sound(tone(seconds=3)), window_s=2))
    assert [window["end_s"] for window in voice.result["windows"]] == [2.0, 3.0]
    walk = send(url, slipway.gait(video(shades([50] * 4), tmp_path), condition="stroke"))
    assert walk.result["condition_read"]["read_as"] == "name"
    pair = send(url, slipway.similarity(PICTURE, PICTURE, solid(9, 9, 9), embeddings=True))
    assert (pair.result["best"], len(pair.result["embeddings"]["others"])) == (0, 2)
    cut = send(url, slipway.background(PICTURE, behind=solid(1, 2, 3), format="jpeg"))
    assert (cut.media_type, cut.data[:2]) == ("image/jpeg", b"\xff\xd8")
    assert cut.model in ("background_u2netp", "grabcut")
    text = send(url, slipway.predict("clinical_text_minilm", b"walks slowly"))
    assert text.result["model"] == "clinical_text_minilm"


def test_files_are_streamed_from_paths_and_open_files(send: Send, url: str, tmp_path: Path) -> None:
    path = tmp_path / "face.png"
    path.write_bytes(PICTURE)
    opened = io.BytesIO(b"head" + PICTURE)
    opened.seek(4)
    answers = [
        send(url, slipway.predict(MODEL, file)) for file in (PICTURE, path, str(path), opened)
    ]
    assert answers == [answers[0]] * 4
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as pipe:  # of unknown size: sent in chunks
        os.write(writing, PICTURE)
        os.close(writing)
        assert send(url, slipway.predict(MODEL, pipe)) == answers[0]


def test_several_files_have_an_answer_each(send: Send, url: str) -> None:
    files = [PICTURE, b"no picture", PICTURE]
    first, second, third = send(url, slipway.each([slipway.predict(MODEL, f) for f in files]))
    assert first == third == send(url, slipway.predict(MODEL, PICTURE))
    assert isinstance(second, ServerError)
    assert second.status == 400
    assert second.message.startswith("found 10 bytes")
    assert send(url, slipway.each([slipway.predict(MODEL, PICTURE)])) == [first]
    with pytest.raises(ValueError, match="path and options equal"):
        slipway.each([slipway.predict(MODEL, PICTURE), slipway.face_emotion(PICTURE)])


def test_tensors_are_binary_both_ways(send: Send, url: str) -> None:
    batch = np.zeros((2, 8, 8, 1), np.uint8)
    outputs = send(url, slipway.infer(MODEL, {"image": Tensor.of(batch)}, request_id="mine"))
    probabilities = np.asarray(outputs["probabilities"].view())
    assert probabilities.shape == (2, 3)
    assert probabilities.dtype == np.float32
    assert probabilities.sum(axis=1) == pytest.approx([1, 1])
    encoded = Tensor.of_bytes([PICTURE, PICTURE])
    request = slipway.infer(MODEL, {"image": encoded}, version=1, outputs=["probabilities"])
    again = send(url, request)
    assert again["probabilities"].shape == (2, 3)
    with pytest.raises(ServerError, match="version '9' of model") as caught:
        send(url, slipway.infer(MODEL, {"image": encoded}, version=9))
    assert caught.value.status == 404


def test_tensors_of_the_standard_library() -> None:
    assert Tensor.of(array.array("l", [1, 2])) == Tensor.of(array.array("q", [1, 2]))
    assert Tensor.of(np.zeros((2, 0), np.float16)).shape == (2, 0)
    assert Tensor.of_bytes([b"a", b""]).elements() == [b"a", b""]
    assert Tensor.of(array.array("f", [0.5])).view().tolist() == [0.5]
    with pytest.raises(ValueError, match="the elements are BYTES"):
        Tensor.of_bytes([]).view()
    with pytest.raises(ValueError, match="have the format"):
        Tensor.of(np.zeros(2, ">f4"))


@pytest.mark.parametrize("is_async", [False, True])
def test_jobs(url: str, is_async: bool) -> None:
    request = slipway.predict(MODEL, PICTURE)
    if is_async:
        results = asyncio.run(run_jobs(url, request))
    else:
        with Client(url) as client:
            job = client.submit(request, key="one")
            same = client.submit(request, key="one")
            done = client.wait(job, timeout_s=60)
            state = client.send(slipway.job_state(job))["state"]
            client.send(slipway.cancel(job))
            results = (job == same, done, state, client.send(request))
    assert results[0]
    assert results[1] == results[3]
    assert results[2] == "done"


async def run_jobs(url: str, request: Request[T]) -> tuple[bool, T, str, T]:
    async with AsyncClient(url) as client:
        job = await client.submit(request, key="two")
        same = await client.submit(request, key="two")
        done = await client.wait(job, timeout_s=60)
        state = (await client.send(slipway.job_state(job)))["state"]
        await client.send(slipway.cancel(job))
        return job == same, done, state, await client.send(request)


def test_a_job_that_failed_raises_its_error(url: str) -> None:
    with Client(url) as client:
        job = client.submit(slipway.predict(MODEL, b"no picture"))
        with pytest.raises(ServerError, match="found 10 bytes") as caught:
            client.wait(job)
    assert caught.value.status == 400


def test_the_server_and_its_models(send: Send, url: str) -> None:
    assert send(url, slipway.is_ready())
    assert send(url, slipway.get(f"/v1/models/{MODEL}"))["id"] == MODEL
    with pytest.raises(ServerError, match="key is missing or wrong") as caught:
        send(url, slipway.load(MODEL))
    assert caught.value.status == 403
    send(url, slipway.load(MODEL), api_key=KEY)


def test_connections_are_used_again(url: str) -> None:
    async def run() -> int:
        async with AsyncClient(url) as client:
            for _ in range(3):
                await client.send(slipway.predict(MODEL, PICTURE))
            return len(client._idle)

    assert asyncio.run(run()) == 1
    with Client(url) as client:
        client.send(slipway.is_ready())
        (connection,) = client._idle
        sock = connection.sock
        client.send(slipway.predict(MODEL, PICTURE))
        assert client._idle[0].sock is sock
        sock.close()  # as a server does that has waited long enough
        assert client.send(slipway.is_ready())


REFUSED = b'{"error": "the queue is full"}'


@pytest.mark.parametrize("status", [429, 503])
def test_a_refusal_is_tried_again(send: Send, status: int) -> None:
    refusal = answer_of(status, REFUSED, Retry_After="0")
    with scripted(refusal, refusal, answer_of(200, b"[1]")) as server:
        assert send(server.url, slipway.get("/x")) == [1]
    assert len(server.requests) == 3


def test_a_broken_connection_is_tried_again_with_the_whole_file(send: Send, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789" * 100_000)
    content = b'{"result": {}, "model": "m", "version": 1, "digest": "d", "variant": "float", '
    content += b'"weights": "seeded", "warnings": ["w"]}'
    with scripted(b"", answer_of(200, content)) as server:
        answer = send(server.url, slipway.predict("m", path))
    bodies = [request.partition(b"\r\n\r\n")[2] for request in server.requests]
    assert bodies == [path.read_bytes()] * 2
    assert (answer.weights_origin, answer.warnings) == ("seeded", ("w",))


def test_other_errors_are_not_tried_again(send: Send) -> None:
    with (
        scripted(answer_of(400, REFUSED)) as server,
        pytest.raises(ServerError, match="400: the queue is full") as caught,
    ):
        send(server.url, slipway.get("/x"))
    assert caught.value.headers["connection"] == "close"
    assert len(server.requests) == 1


def test_the_tries_end(send: Send) -> None:
    refusal = answer_of(429, REFUSED, Retry_After="0")
    with (
        scripted(refusal, refusal, answer_of(200)) as server,
        pytest.raises(ServerError, match="429: the queue is full"),
    ):
        send(server.url, slipway.get("/x"), tries=2)
    assert len(server.requests) == 2


def test_no_wait_goes_beyond_the_deadline(send: Send) -> None:
    refusal = answer_of(429, REFUSED, Retry_After="3600")
    with (
        scripted(refusal, answer_of(200)) as server,
        pytest.raises(ServerError, match="429: the queue is full"),
    ):
        send(server.url, slipway.get("/x"), deadline_s=50)
    (request,) = server.requests
    (line,) = [x for x in request.split(b"\r\n") if x.lower().startswith(b"x-request-timeout")]
    assert 0 < float(line.partition(b":")[2]) <= 50


def test_the_deadline_ends_an_answer_that_does_not_come(send: Send) -> None:
    with (
        scripted(b"HTTP/1.1 200 OK\r\nContent-Le", ends=False) as server,
        pytest.raises(DeadlineError),
    ):
        send(server.url, slipway.get("/x"), deadline_s=0.3)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "start",
    [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\n\r\n"],
    ids=["head", "body"],
)
def test_the_deadline_ends_an_answer_that_does_not_end(send: Send, start: bytes) -> None:
    with dripping(start) as url, pytest.raises(DeadlineError):
        send(url, slipway.get("/health"), deadline_s=0.5)


@contextmanager
def dripping(start: bytes) -> Iterator[str]:
    """Serve an answer that goes on for five seconds, a byte at a time."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(start)
            for _ in range(50):
                connection.sendall(b"x")
                time.sleep(0.1)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()
        thread.join()


@pytest.mark.parametrize(
    "answer",
    [
        answer_of(200, b"[]"),
        answer_of(200, b"{}"),
        answer_of(200, b"[" * 100_000),
        answer_of(400, b"[" * 100_000),
        b"HTTP/1.1\r\n\r\n",
        b"\0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nabcde\r\n",
    ],
    ids=["list", "object", "deep", "deep error", "no status", "junk", "negative chunk"],
)
def test_whatever_a_server_answers_is_an_answer_or_a_server_error(
    send: Send, answer: bytes
) -> None:
    with scripted(answer) as server, pytest.raises(ServerError):
        send(server.url, slipway.face_emotion(PICTURE), tries=1)


@pytest.mark.parametrize("retry_after", ["nan", "-1", "Wed, 21 Oct 2015 07:28:00 GMT"])
@pytest.mark.parametrize("is_async", [False, True])
def test_a_job_is_looked_at_again_whatever_retry_after_says(
    is_async: bool, retry_after: str
) -> None:
    job = slipway.Job("/v1/jobs/x", Response.json)

    def wait(url: str) -> object:
        if is_async:
            return asyncio.run(AsyncClient(url).wait(job, timeout_s=0.1))
        return Client(url).wait(job, timeout_s=0.1)

    with (
        scripted(answer_of(409, Retry_After=retry_after)) as server,
        pytest.raises(DeadlineError, match="has not ended"),
    ):
        wait(server.url)


def test_nothing_that_is_sent_adds_a_line_to_the_head(send: Send) -> None:
    injected = "a\r\nX-Evil: yes"
    for request in (slipway.infer(MODEL, {}, request_id=injected), slipway.get(f"/{injected}")):
        with scripted() as server, pytest.raises(ValueError, match="one line"):
            send(server.url, request)


def test_an_answer_that_ends_early_is_tried_again(send: Send) -> None:
    with scripted(answer_of(200, b"[1, 2]")[:-2], answer_of(200, b"[1]")) as server:
        assert send(server.url, slipway.get("/x")) == [1]
    assert len(server.requests) == 2


def test_an_answer_of_another_server_is_an_error(send: Send) -> None:
    with (
        scripted(answer_of(200, b"<html>")) as server,
        pytest.raises(ServerError, match="200: the answer is not JSON"),
    ):
        send(server.url, slipway.get("/x"))


def test_an_answer_before_the_end_of_the_body_is_read(send: Send, tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(bytes(8_000_000))
    refusal = answer_of(413, b'{"error": "the body is too large"}')
    with (
        scripted(refusal, reads_body=False) as server,
        pytest.raises(ServerError, match="413: the body is too large"),
    ):
        send(server.url, slipway.predict("m", path), tries=1)
    gc.collect()  # complains of a connection that is left open


def test_chunked_answers_are_read(send: Send) -> None:
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    with scripted(answer + b"2;x=y\r\n[1\r\n1\r\n]\r\n0\r\nA: b\r\n\r\n") as server:
        assert send(server.url, slipway.get("/x")) == [1]


def test_a_file_that_cannot_be_read_twice_is_sent_once(send: Send) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"text")
    os.close(writing)
    with (
        os.fdopen(reading, "rb") as pipe,
        scripted(answer_of(503, REFUSED), b"") as server,
        pytest.raises(ServerError, match="503"),
    ):
        send(server.url, slipway.predict("m", pipe))
    assert len(server.requests) == 1
    assert b"4\r\ntext\r\n0\r\n\r\n" in server.requests[0]


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://x", "http://"])
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="allowed: http://HOST"):
        Client(url)


def test_a_base_path_comes_before_all_paths(send: Send) -> None:
    with scripted(answer_of(200)) as server:
        send(f"{server.url}/emotion/", slipway.get("/health"), api_key="k")
    assert server.requests[0].startswith(b"GET /emotion/health HTTP/1.1\r\n")
    assert b"\r\nAuthorization: Bearer k\r\n" in server.requests[0]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a certificate of 127.0.0.1 that nobody signed, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl here: apt-get install openssl")
    folder = tmp_path_factory.mktemp("tls")
    files = folder / "certificate.pem", folder / "key.pem"
    line = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test"]
    line += ["-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    line += ["-out", str(files[0]), "-keyout", str(files[1])]
    subprocess.run(line, check=True, capture_output=True)
    return files


def test_tls_is_verified(send: Send, certificate: tuple[Path, Path]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with scripted(answer_of(200, b"[1]"), ends=False, context=context) as server:
        trusting = ssl.create_default_context(cafile=certificate[0])
        assert send(server.url, slipway.get("/x"), context=trusting) == [1]
    with (
        scripted(answer_of(200, b"[1]"), ends=False, context=context) as server,
        pytest.raises(ServerError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        send(server.url, slipway.get("/x"), tries=1)


def test_a_cancelled_request_closes_its_connection(url: str) -> None:
    async def run() -> int:
        async with AsyncClient(url) as client:
            task = asyncio.create_task(client.send(slipway.predict(MODEL, PICTURE)))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return len(client._idle)

    assert asyncio.run(run()) == 0


def test_a_cancelled_upload_is_not_sent_on() -> None:
    async def run(listener: socket.socket) -> socket.socket:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with AsyncClient(address) as client:
            task = asyncio.create_task(client.send(slipway.predict(MODEL, bytes(8_000_000))))
            connection, _ = await asyncio.to_thread(listener.accept)
            await asyncio.to_thread(connection.recv, 100_000, socket.MSG_WAITALL)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        return connection

    with socket.create_server(("127.0.0.1", 0)) as listener, asyncio.run(run(listener)):
        gc.collect()  # complains of a connection that is left open


def test_the_example_of_the_api_document(url: str, tmp_path: Path) -> None:
    blocks = read_blocks(PROJECT / "serve" / "API.md")
    (code,) = [block.text for block in blocks if block.language == "python"]
    for name, data in {"face.jpg": PICTURE, "walk.mp4": video(shades([50] * 4), tmp_path)}.items():
        (tmp_path / name).write_bytes(data)
    process = subprocess.run(
        [sys.executable, "-c", code.replace("http://127.0.0.1:8000", url)],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    assert len(process.stdout.splitlines()) == 3


SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
import client
with client.Client(sys.argv[2]) as slipway:
    answer = slipway.send(client.predict(sys.argv[3], sys.argv[4]))
    job = slipway.submit(client.predict(sys.argv[3], sys.argv[4]))
    assert slipway.wait(job) == answer
print(answer.model, sys.version_info[:2])
"""


def interpreter(version: str) -> str | None:
    """Return a Python of a version without packages: of the system, or one that pyenv has."""
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        return sys.executable
    pyenv = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python3"))
    return str(pyenv[-1]) if pyenv else shutil.which(f"python{version}")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_copy_runs_in_a_bare_interpreter(url: str, tmp_path: Path, version: str) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"Python {version} is not installed")
    shutil.copy(PROJECT / "serve" / "client.py", tmp_path)
    (tmp_path / "face.png").write_bytes(PICTURE)
    # -I -S: no packages, no directory of the project
    process = subprocess.run(
        [python, "-I", "-S", "-c", SCRIPT, tmp_path, url, MODEL, tmp_path / "face.png"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.startswith(MODEL)

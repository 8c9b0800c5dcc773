"""A client of the server in one file, on the standard library alone: copy it, or import it.

    client = Client("http://127.0.0.1:8000")
    answer = client.send(face_emotion("face.jpg", tta="flip"))
    print(answer.result["label"], answer.model, answer.warnings)

A request is made by a function of this module and sent by a `Client`, or by an `AsyncClient` with
`await`. Files are bytes, paths, or open binary files, and are streamed. A refusal with 429 or 503,
and a connection that breaks, is tried again until the deadline: after `Retry-After`, with jitter.
Python 3.11 to 3.13.
"""

import asyncio
import contextlib
import http.client
import io
import json
import math
import random
import socket
import ssl
import struct
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Generic, Literal, TypeVar
from urllib.parse import quote, urlencode, urlsplit

T = TypeVar("T")
C = TypeVar("C")  # a connection
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
File = bytes | str | Path | BinaryIO  # a str is a path
Options = Mapping[str, str | float | bool | None]

VERSION = "1.0.0rc1"  # of the release that this file is of
USER_AGENT = f"slipway-client/{VERSION}"
CHUNK_BYTES = 256 * 1024
RETRIED = (429, 503)
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 5.0  # between tries, where no Retry-After says so
JITTER = 0.25  # of a wait, added at random: clients that were refused together come back apart
POLL_S = 5.0  # the longest wait between two looks at a job
LATE = "the deadline passed before there was an answer"
SIZES = {  # of datatypes of the Open Inference Protocol: the code of `struct`
    "BOOL": "?", "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q", "INT8": "b",
    "INT16": "h", "INT32": "i", "INT64": "q", "FP16": "e", "FP32": "f", "FP64": "d",
}  # fmt: skip
DATATYPES = {code: name for name, code in SIZES.items()}
LONG = {"l": "q", "L": "Q"}  # of arrays whose long has 8 bytes
HEADER_LENGTH = "Inference-Header-Content-Length"


class ServerError(Exception):
    """An answer that is an error. Its text says what the server found and what it allows."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        """Keep the status, 0 if there was no answer, and the headers, in lower case."""
        super().__init__(f"{status}: {message}" if status else message)
        self.status, self.message, self.headers = status, message, dict(headers or {})


class DeadlineError(ServerError):
    """The deadline passed before there was an answer."""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer as it arrived."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    def json(self) -> Any:
        """Return the content of the body; raise ServerError if it is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            message = f"the answer is not JSON: {error}"
            raise ServerError(self.status, message, self.headers) from None

    def checked(self) -> "Response":
        """Return this answer; raise ServerError if it is an error."""
        if self.status < 400:
            return self
        try:
            message = str(json.loads(self.body)["error"])
        except (ValueError, LookupError, TypeError, RecursionError):
            message = self.body[:200].decode("utf-8", "replace")
        raise ServerError(self.status, message, self.headers)


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a task, and where it is from."""

    result: dict[str, Any]
    model: str
    version: int
    digest: str
    variant: str
    weights_origin: str  # pretrained; seeded: untrained, the result means nothing; synthetic
    warnings: tuple[str, ...]

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> "Answer":
        """Return the answer in JSON, of this server or of one before `weights_origin`."""
        return cls(
            result=content["result"],
            model=content["model"],
            version=content["version"],
            digest=content["digest"],
            variant=content["variant"],
            weights_origin=content.get("weights_origin") or content["weights"],
            warnings=tuple(content["warnings"]),
        )


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded picture, and where it is from."""

    data: bytes
    media_type: str
    model: str  # or grabcut
    warnings: str  # joined by "; "


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of the Open Inference Protocol as bytes, row-major and little-endian."""

    datatype: str
    shape: tuple[int, ...]
    data: bytes

    @classmethod
    def of(cls, values: Any) -> "Tensor":
        """Return a tensor of what has the buffer protocol: a numpy array, an array, a memoryview.

        Raises:
            ValueError: its elements have no datatype.
        """
        view = memoryview(values)
        code = view.format.lstrip("@=<")
        datatype = DATATYPES.get(LONG.get(code, code) if view.itemsize == 8 else code)
        if datatype is None or view.format[:1] in (">", "!"):
            raise ValueError(f"elements have the format {view.format!r}; allowed: {SIZES}")
        return cls(datatype, tuple(view.shape or ()), view.tobytes())

    @classmethod
    def of_bytes(cls, elements: Sequence[bytes]) -> "Tensor":
        """Return a tensor of strings, or of encoded files: BYTES of shape [N]."""
        data = b"".join(struct.pack("<I", len(element)) + element for element in elements)
        return cls("BYTES", (len(elements),), data)

    def view(self) -> Any:
        """Return the elements in their shape as a memoryview, which `numpy.asarray` takes.

        Raises:
            ValueError: they are FP16 or strings, which memoryview lacks.
        """
        code: Any = SIZES.get(self.datatype, "e")
        if code == "e":
            raise ValueError(f"the elements are {self.datatype}; use data, or elements()")
        flat = memoryview(self.data)
        return flat.cast(code) if 0 in self.shape else flat.cast(code, self.shape)

    def elements(self) -> list[bytes]:
        """Return the strings of a tensor of BYTES."""
        strings, at = [], 0
        while at < len(self.data):
            (size,) = struct.unpack_from("<I", self.data, at)
            strings.append(self.data[at + 4 : at + 4 + size])
            at += 4 + size
        return strings


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Generic[T]):
    """A request, and how its answer is read."""

    method: str
    path: str
    read: Callable[[Response], T]
    query: Mapping[str, str] = field(default_factory=dict)
    files: Sequence[tuple[str, File]] = ()  # one is the body itself, several are a form
    accepts: Sequence[int] = ()  # errors that `read` takes
    media_type: str = "application/octet-stream"  # of a body that is one file
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Job(Generic[T]):
    """A request that runs on the server while nobody waits at a connection."""

    path: str  # whoever has it can read the answer
    read: Callable[[Response], T]


def face_emotion(
    image: File,
    *,
    faces: Literal["largest", "all"] | None = None,
    crop: Literal["auto", "none"] | None = None,
    margin: float | None = None,
    tta: Literal["none", "flip", "full"] | None = None,
    vote_weights: Mapping[str, float] | None = None,
    early_exit: bool | None = None,
) -> Request[Answer]:
    """Classify the emotion of the faces in a picture."""
    votes = ",".join(f"{model}:{weight:g}" for model, weight in (vote_weights or {}).items())
    options: Options = {
        "faces": faces, "crop": crop, "margin": margin, "tta": tta, "vote_weights": votes or None,
        "early_exit": early_exit,
    }  # fmt: skip
    return _task("/v1/face-emotion", [("image", image)], options, _answer)


def voice_emotion(
    audio: File, *, window_s: float | None = None, overlap_s: float | None = None
) -> Request[Answer]:
    """Classify the emotion of a voice over a whole recording."""
    options: Options = {"window_s": window_s, "overlap_s": overlap_s}
    return _task("/v1/voice-emotion", [("audio", audio)], options, _answer)


def gait(video: File, *, condition: str | None = None) -> Request[Answer]:
    """Classify how a person walks in a clip."""
    return _task("/v1/gait", [("video", video)], {"condition": condition}, _answer)


def similarity(image_a: File, *image_b: File, embeddings: bool | None = None) -> Request[Answer]:
    """Compare an image with one or several others."""
    files = [("image_a", image_a), *(("image_b", image) for image in image_b)]
    return _task("/v1/similarity", files, {"embeddings": embeddings}, _answer)


def background(
    image: File,
    *,
    behind: File | None = None,
    color: str | None = None,
    format: Literal["png", "webp", "jpeg"] | None = None,
    method: Literal["auto", "model", "grabcut"] | None = None,
    max_side: int | None = None,
    refine: bool | None = None,
    clean: bool | None = None,
) -> Request[Picture]:
    """Cut out the foreground of an image; put it before a picture or a colour."""
    files = [("image", image), *([("background", behind)] if behind is not None else [])]
    options: Options = {
        "color": color, "format": format, "method": method, "max_side": max_side,
        "refine": refine, "clean": clean,
    }  # fmt: skip
    return _task("/v1/background", files, options, _picture)


def predict(model: str, file: File, *, condition: str | None = None) -> Request[Answer]:
    """Return the result of one model for one image, sound, clip or text (UTF-8 bytes, or a file).

    Args:
        model: id.
        file: as the model's task needs.
        condition: of the person in a clip.
    """
    path = f"/v1/models/{quote(model, safe='')}"
    return _task(path, [("file", file)], {"condition": condition}, _answer)


def each(requests: Sequence[Request[Answer]]) -> Request[list[Answer | ServerError]]:
    """Return one request for several files of one task with equal options; answers are in order.

    Raises:
        ValueError: the requests differ in more than their file.
    """
    first = requests[0]
    for request in requests:
        if (request.path, request.query) != (first.path, first.query) or len(request.files) != 1:
            raise ValueError("the requests differ; allowed: one file each, path and options equal")
    files = [file for request in requests for file in request.files]
    return Request(method="POST", path=first.path, read=_answers, query=first.query, files=files)


def infer(
    model: str,
    inputs: Mapping[str, Tensor],
    *,
    outputs: Sequence[str] = (),
    version: int | None = None,
    request_id: str | None = None,
) -> Request[dict[str, Tensor]]:
    """Run the graph of a model on tensors, binary both ways (Open Inference Protocol).

    Args:
        model: id.
        inputs: by name; encoded files and texts are BYTES, where the model's metadata say so.
        outputs: names of those that are wanted; all by default.
        version: None for the served one.
        request_id: that the log of the server names.
    """
    content = {
        "parameters": {"binary_data_output": True},
        "inputs": [
            {
                "name": name,
                "datatype": tensor.datatype,
                "shape": list(tensor.shape),
                "parameters": {"binary_data_size": len(tensor.data)},
            }
            for name, tensor in inputs.items()
        ],
        **({"outputs": [{"name": name} for name in outputs]} if outputs else {}),
    }
    head = json.dumps(content).encode()
    body = b"".join([head, *(tensor.data for tensor in inputs.values())])
    headers = {
        HEADER_LENGTH: str(len(head)),
        **({"X-Request-Id": request_id} if request_id else {}),
    }
    place = f"/v2/models/{quote(model, safe='')}"
    place += "" if version is None else f"/versions/{version}"
    return Request(
        method="POST", path=f"{place}/infer", read=_tensors, files=[("body", body)], headers=headers
    )


def get(path: str) -> Request[Any]:
    """Return the JSON of a path: /health, /v1/models, /v1/models/MODEL, /v2/models/MODEL ..."""
    return Request(method="GET", path=path, read=Response.json)


def is_ready() -> Request[bool]:
    """Tell whether every model that must serve can."""
    return Request(
        method="GET", path="/health/ready", read=lambda answer: answer.status == 200, accepts=(503,)
    )


def load(model: str) -> Request[None]:
    """Load a model; needs the key of the administrator."""
    return _change(f"/v2/repository/models/{quote(model, safe='')}/load")


def unload(model: str) -> Request[None]:
    """Drop a model from memory; needs the key of the administrator."""
    return _change(f"/v2/repository/models/{quote(model, safe='')}/unload")


def job_state(job: Job[Any]) -> Request[dict[str, Any]]:
    """Tell how far a job is: its `state` is queued, running, done or failed."""
    return Request(method="GET", path=job.path, read=Response.json)


def cancel(job: Job[Any]) -> Request[None]:
    """Stop a job, and forget it."""
    return Request(method="DELETE", path=job.path, read=lambda answer: None)


class _Source:
    """A file of a request, in chunks, once for each try."""

    def __init__(self, file: File) -> None:
        """Measure a file; one that cannot seek has an unknown size, and is read once."""
        self.file, self.start, self.is_repeatable = file, 0, True
        self.size_bytes: int | None = None
        if isinstance(file, bytes):
            self.size_bytes = len(file)
        elif isinstance(file, str | Path):
            self.size_bytes = Path(file).stat().st_size
        elif file.seekable():
            self.start = file.tell()
            self.size_bytes = file.seek(0, io.SEEK_END) - self.start
        else:
            self.is_repeatable = False

    def chunks(self) -> Iterator[bytes]:
        """Yield the file from its start."""
        if isinstance(self.file, bytes):
            yield self.file
            return
        if isinstance(self.file, str | Path):
            with Path(self.file).open("rb") as opened:
                yield from _read(opened)
            return
        if self.is_repeatable:
            self.file.seek(self.start)
        yield from _read(self.file)


class _Body:
    """The body of a request: one file, or a form of several."""

    def __init__(self, request: Request[Any]) -> None:
        self.parts: list[bytes | _Source] = []
        sources = [(name, _Source(file)) for name, file in request.files]
        if len(sources) == 1:
            self.media_type = request.media_type
            self.parts = [sources[0][1]]
        else:
            edge = uuid.uuid4().hex
            self.media_type = f"multipart/form-data; boundary={edge}"
            for name, source in sources:
                field = f'Content-Disposition: form-data; name="{name}"; filename="file"'
                self.parts += [f"--{edge}\r\n{field}\r\n\r\n".encode(), source, b"\r\n"]
            self.parts.append(f"--{edge}--\r\n".encode())
        self.is_repeatable = all(source.is_repeatable for _, source in sources)

    @property
    def size_bytes(self) -> int | None:
        """Return the bytes of the body; None if they are not known before it is sent."""
        sizes = [len(p) if isinstance(p, bytes) else p.size_bytes for p in self.parts]
        return None if None in sizes else sum(size or 0 for size in sizes)

    def chunks(self) -> Iterator[bytes]:
        """Yield the body from its start."""
        for part in self.parts:
            if isinstance(part, bytes):
                yield part
            else:
                yield from part.chunks()


class _Tries:
    """The tries of a request: whether there is another one, and after how many seconds."""

    def __init__(self, deadline_s: float | None, tries: int, body: _Body | None) -> None:
        self._end_s = time.monotonic() + (math.inf if deadline_s is None else deadline_s)
        self._left, self._body, self._wait_s = tries, body, FIRST_WAIT_S

    @property
    def left_s(self) -> float:
        """Return the seconds until the deadline; infinity without one.

        Raises:
            DeadlineError: it passed.
        """
        left_s = self._end_s - time.monotonic()
        if left_s <= 0:
            raise DeadlineError(0, LATE)
        return left_s

    @property
    def timeout_s(self) -> float | None:
        """Return the seconds until the deadline; None without one."""
        return self.left_s if math.isfinite(self._end_s) else None

    @property
    def is_repeatable(self) -> bool:
        """Return whether the body can be sent once more."""
        return self._body is None or self._body.is_repeatable

    def limit(
        self, connection: http.client.HTTPConnection, chunks: Iterator[bytes]
    ) -> Iterator[bytes]:
        """Yield chunks, each to be sent in what is left until the deadline."""
        for chunk in chunks:
            connection.sock.settimeout(self.timeout_s)
            yield chunk

    def response(self, sock: socket.socket, **options: Any) -> http.client.HTTPResponse:
        """Return an answer whose parts together arrive before the deadline."""
        response = http.client.HTTPResponse(sock, **options)
        response.fp.close()
        response.fp = io.BufferedReader(_TimedInput(sock, self))
        return response

    def wait_s(self, error: ServerError) -> float:
        """Return the seconds until the next try; raise the error if there is none."""
        self._left -= 1
        wait_s = _retry_after_s(error.headers, self._wait_s)
        self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)
        wait_s *= 1 + JITTER * random.random()
        if error.status not in (0, *RETRIED) or not self.is_repeatable:
            raise error
        if self._left <= 0 or time.monotonic() + wait_s >= self._end_s:
            raise error
        return wait_s


class _TimedInput(io.RawIOBase):
    """The bytes of a socket, whose own timeout would begin anew with each of them."""

    def __init__(self, sock: socket.socket, tries: _Tries) -> None:
        self._sock, self._tries = sock, tries
        self._input = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._tries.timeout_s)
        return self._input.readinto(buffer)

    def close(self) -> None:
        self._input.close()
        super().close()


class _Base(Generic[C]):
    """The server as both clients know it, and the connections that no request uses."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        deadline_s: float | None = 60.0,
        tries: int = 5,
        context: ssl.SSLContext | None = None,
    ) -> None:
        """Make a client; it connects with its first request.

        Args:
            url: http or https, with the path that all routes begin with, if there is one.
            api_key: sent as `Authorization: Bearer KEY`.
            deadline_s: of a request, with all its tries and waits; None: none.
            tries: the most of a request.
            context: of TLS; None for the certificates of the system.

        Raises:
            ValueError: the URL is another kind of address.
        """
        address = urlsplit(url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ValueError(f"url is {url!r}; allowed: http://HOST[:PORT][/PATH], or https")
        is_tls = address.scheme == "https"
        self._host, self._netloc = address.hostname, address.netloc.rpartition("@")[2]
        self._port = address.port or (443 if is_tls else 80)
        self._prefix = address.path.rstrip("/")
        self._api_key, self._deadline_s, self._most_tries = api_key, deadline_s, tries
        self._context = (context or ssl.create_default_context()) if is_tls else None
        self._lock = threading.Lock()
        self._idle: list[C] = []

    def _begin(self, request: Request[Any]) -> tuple[_Body | None, _Tries]:
        _check_lines(request.path, self._api_key or "", *request.headers.values())
        body = _Body(request) if request.files else None
        return body, _Tries(self._deadline_s, self._most_tries, body)

    def _target(self, request: Request[Any]) -> str:
        query = f"?{urlencode(request.query)}" if request.query else ""
        return f"{self._prefix}{request.path}{query}"

    def _headers(self, request: Request[Any], body: _Body | None, tries: _Tries) -> dict[str, str]:
        headers = {
            "Host": self._netloc,
            "User-Agent": USER_AGENT,
            "Accept": "*/*",
            "Accept-Encoding": "identity",
        }
        if self._api_key:
            headers["Authorization"] = f"Bearer {self._api_key}"
        if tries.timeout_s is not None:  # the server does not begin a request that is too late
            headers["X-Request-Timeout"] = f"{max(tries.left_s, 0.001):.3f}"
        if body is None:
            size: int | None = 0
        else:
            size, headers["Content-Type"] = body.size_bytes, body.media_type
        if size is None:
            headers["Transfer-Encoding"] = "chunked"
        elif request.method != "GET":
            headers["Content-Length"] = str(size)
        return {**headers, **request.headers}

    def _take(self) -> C | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _keep(self, connection: C) -> None:
        with self._lock:
            self._idle.append(connection)

    def _take_all(self) -> list[C]:
        with self._lock:
            idle, self._idle = self._idle, []
        return idle


class Client(_Base[http.client.HTTPConnection]):
    """Sends requests, from any number of threads; connections are used again."""

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def send(self, request: Request[T]) -> T:
        """Send a request and read its answer.

        Raises:
            ServerError: the answer is an error, or there is none.
            DeadlineError: the deadline passed.
        """
        body, tries = self._begin(request)
        while True:
            try:
                return _result(request, self._exchange(request, body, tries))
            except DeadlineError:
                raise
            except ServerError as error:
                time.sleep(tries.wait_s(error))

    def submit(self, request: Request[T], *, key: str | None = None) -> Job[T]:
        """Send a request of a task that nobody waits for.

        Args:
            request: of a task.
            key: a request that is sent again with its key is the same job; None: one at random.

        Raises:
            ServerError: the server did not accept it.
        """
        return self.send(_as_job(request, key))

    def wait(self, job: Job[T], *, timeout_s: float | None = None) -> T:
        """Return the answer of a job when it has ended.

        Raises:
            ServerError: the job failed, expired, or is not known.
            DeadlineError: it has not ended within `timeout_s`.
        """
        end_s = time.monotonic() + (math.inf if timeout_s is None else timeout_s)
        while True:
            response = self.send(_result_of(job))
            if response.status != 409:
                return _read_as(job.read, response)
            time.sleep(_pause_s(response, end_s))

    def close(self) -> None:
        """Close the connections that no request uses."""
        for connection in self._take_all():
            connection.close()

    def _exchange(self, request: Request[Any], body: _Body | None, tries: _Tries) -> Response:
        """Send a request once; a connection that the server closed meanwhile is replaced."""
        while True:
            kept = self._take()
            connection = kept or self._connection()
            try:
                return self._send(connection, request, body, tries)
            except (TimeoutError, DeadlineError):
                connection.close()
                raise DeadlineError(0, LATE) from None
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if kept is None or not tries.is_repeatable:
                    raise ServerError(0, f"no answer: {error or type(error).__name__}") from error

    def _send(
        self,
        connection: http.client.HTTPConnection,
        request: Request[Any],
        body: _Body | None,
        tries: _Tries,
    ) -> Response:
        connection.timeout = tries.timeout_s
        if connection.sock is not None:
            connection.sock.settimeout(tries.timeout_s)
        connection.response_class = tries.response  # type: ignore[assignment]  # makes one
        headers = self._headers(request, body, tries)
        chunks = tries.limit(connection, body.chunks()) if body else None
        is_chunked, is_sent = "Transfer-Encoding" in headers, True
        try:
            connection.request(
                request.method, self._target(request), chunks, headers, encode_chunked=is_chunked
            )
        except (BrokenPipeError, ConnectionResetError):
            is_sent = False  # the server may have answered before the end of the body
        answer = connection.getresponse()
        names = {name.lower(): value for name, value in answer.getheaders()}
        try:
            response = Response(answer.status, names, answer.read())
        except ValueError as error:  # of a chunk with a negative size
            raise http.client.HTTPException(str(error)) from error
        if answer.will_close or not is_sent:
            connection.close()
        else:
            self._keep(connection)
        return response

    def _connection(self) -> http.client.HTTPConnection:
        if self._context is None:
            return http.client.HTTPConnection(self._host, self._port)
        return http.client.HTTPSConnection(self._host, self._port, context=self._context)


class AsyncClient(_Base[Stream]):
    """Sends requests on one event loop; the server ends the work of one that is cancelled."""

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def send(self, request: Request[T]) -> T:
        """Send a request and read its answer, as `Client.send` does."""
        body, tries = self._begin(request)
        while True:
            try:
                return _result(request, await self._exchange(request, body, tries))
            except DeadlineError:
                raise
            except ServerError as error:
                await asyncio.sleep(tries.wait_s(error))

    async def submit(self, request: Request[T], *, key: str | None = None) -> Job[T]:
        """Send a request of a task that nobody waits for, as `Client.submit` does."""
        return await self.send(_as_job(request, key))

    async def wait(self, job: Job[T], *, timeout_s: float | None = None) -> T:
        """Return the answer of a job when it has ended, as `Client.wait` does."""
        end_s = time.monotonic() + (math.inf if timeout_s is None else timeout_s)
        while True:
            response = await self.send(_result_of(job))
            if response.status != 409:
                return _read_as(job.read, response)
            await asyncio.sleep(_pause_s(response, end_s))

    async def close(self) -> None:
        """Close the connections that no request uses."""
        for _, writer in self._take_all():
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _exchange(self, request: Request[Any], body: _Body | None, tries: _Tries) -> Response:
        """Send a request once; a connection that the server closed meanwhile is replaced."""
        while True:
            kept = self._take()
            try:
                async with asyncio.timeout(tries.timeout_s):
                    stream = kept or await asyncio.open_connection(
                        self._host, self._port, ssl=self._context
                    )
                    return await self._send(stream, request, body, tries)
            except TimeoutError:
                raise DeadlineError(0, LATE) from None
            except (OSError, EOFError, ValueError, IndexError, asyncio.LimitOverrunError) as error:
                if kept is None or not tries.is_repeatable:
                    raise ServerError(0, f"no answer: {error or type(error).__name__}") from error

    async def _send(
        self, stream: Stream, request: Request[Any], body: _Body | None, tries: _Tries
    ) -> Response:
        """Send while the answer is read, which may come before the end of the body."""
        reader, writer = stream
        headers = self._headers(request, body, tries)
        lines = [f"{request.method} {self._target(request)} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        sending = asyncio.create_task(_write(writer, body, "Transfer-Encoding" in headers))
        is_kept = False
        try:
            response, stays_open = await _read_response(reader)
            is_kept = stays_open and sending.done() and sending.exception() is None
            return response
        finally:
            sending.cancel()
            if not is_kept:
                writer.transport.abort()  # close() would wait until the rest of the body is sent
            await asyncio.gather(sending, return_exceptions=True)
            if is_kept:
                self._keep(stream)


async def _write(writer: asyncio.StreamWriter, body: _Body | None, is_chunked: bool) -> None:
    chunks = body.chunks() if body else iter(())
    # a file is read in a thread
    while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
        if chunk and is_chunked:
            chunk = b"%x\r\n%b\r\n" % (len(chunk), chunk)
        writer.write(chunk)
        await writer.drain()
    if is_chunked:
        writer.write(b"0\r\n\r\n")
    await writer.drain()


async def _read_response(reader: asyncio.StreamReader) -> tuple[Response, bool]:
    """Return an answer, and whether its connection stays open."""
    status = 100
    while status < 200:
        line, _, rest = (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")
        status = int(line.split(None, 2)[1])
    headers = {
        name.lower(): value for name, value in http.client.parse_headers(io.BytesIO(rest)).items()
    }
    stays_open = headers.get("connection", "").lower() != "close"
    if status in (204, 304):
        body = b""
    elif headers.get("transfer-encoding", "").lower() == "chunked":
        body = await _read_chunks(reader)
    elif "content-length" in headers:
        body = await reader.readexactly(int(headers["content-length"]))
    else:
        body, stays_open = await reader.read(), False
    return Response(status, headers, body), stays_open


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    chunks = []
    while size := int((await reader.readline()).partition(b";")[0], 16):
        chunks.append(await reader.readexactly(size))
        await reader.readline()
    while (await reader.readline()).strip():  # trailers
        pass
    return b"".join(chunks)


def _check_lines(*texts: str) -> None:
    """Raise ValueError if a text of a head would end its line, and begin another one."""
    for text in texts:
        if any(character in text for character in "\r\n\0"):
            raise ValueError(f"a header or path is {text[:80]!r}; allowed: one line")


def _read(opened: BinaryIO) -> Iterator[bytes]:
    while chunk := opened.read(CHUNK_BYTES):
        yield chunk


def _result(request: Request[T], response: Response) -> T:
    """Return what a request reads from its answer; raise ServerError for any other answer."""
    is_read = response.status in request.accepts
    return _read_as(request.read, response if is_read else response.checked())


def _read_as(read: Callable[[Response], T], response: Response) -> T:
    """Read an answer; raise ServerError if it has another form, as that of another server."""
    try:
        return read(response)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        message = f"the answer has another form: {type(error).__name__}: {error}"
        raise ServerError(response.status, message, response.headers) from error


def _task(
    path: str, files: Sequence[tuple[str, File]], options: Options, read: Callable[[Response], T]
) -> Request[T]:
    query = {name: _text(value) for name, value in options.items() if value is not None}
    return Request(method="POST", path=path, read=read, files=files, query=query)


def _text(value: str | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _answer(response: Response) -> Answer:
    return Answer.of(response.json())


def _answers(response: Response) -> list[Answer | ServerError]:
    content = response.json()
    entries = content.get("results", [content])
    return [
        ServerError(entry["status"], entry["error"]) if "error" in entry else Answer.of(entry)
        for entry in entries
    ]


def _picture(response: Response) -> Picture:
    headers = response.headers
    warnings = headers.get("x-warnings", "")
    return Picture(response.body, headers["content-type"], headers.get("x-model", ""), warnings)


def _tensors(response: Response) -> dict[str, Tensor]:
    at = int(response.headers.get(HEADER_LENGTH.lower(), len(response.body)))
    tensors = {}
    for output in json.loads(response.body[:at])["outputs"]:
        size = output["parameters"]["binary_data_size"]
        data = response.body[at : at + size]
        tensors[output["name"]] = Tensor(output["datatype"], tuple(output["shape"]), data)
        at += size
    return tensors


def _change(path: str) -> Request[None]:
    return Request(method="POST", path=path, read=lambda response: None)


def _as_job(request: Request[T], key: str | None) -> Request[Job[T]]:
    def read(response: Response) -> Job[T]:
        if response.status != 202:
            raise ServerError(response.status, "the server runs no jobs (SLIPWAY_JOBS)")
        content = response.json()
        return Job(f"/v1/jobs/{content['id']}", request.read)

    headers = {"Prefer": "respond-async", "Idempotency-Key": key or uuid.uuid4().hex}
    return Request(
        method=request.method, path=request.path, read=read, query=request.query,
        files=request.files, media_type=request.media_type,
        headers={**request.headers, **headers},
    )  # fmt: skip


def _result_of(job: Job[Any]) -> Request[Response]:
    path = f"{job.path}/result"
    return Request(method="GET", path=path, read=lambda response: response, accepts=(409,))


def _pause_s(response: Response, end_s: float) -> float:
    """Return the seconds until the next look at a job; raise DeadlineError at its end."""
    pause_s = min(_retry_after_s(response.headers, 1.0), POLL_S)
    if time.monotonic() + pause_s >= end_s:
        raise DeadlineError(0, "the job has not ended in time")
    return pause_s


def _retry_after_s(headers: Mapping[str, str], otherwise_s: float) -> float:
    """Return the seconds of Retry-After; the other number where it is absent or a date."""
    text = headers.get("retry-after", "")
    return float(text) if text.isdecimal() and len(text) < 6 else otherwise_s

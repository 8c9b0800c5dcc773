"""A small HTTP client that times its requests and returns every answer, errors too."""

import base64
import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

TIMEOUT_S = 60
LOOPBACK = ("127.0.0.1", "::1", "localhost")
BINARY, JSON = "application/octet-stream", "application/json"


@dataclass(frozen=True, slots=True)
class Body:
    """A request body."""

    form: str  # multipart, raw or JSON; for the table
    content: bytes
    content_type: str
    query: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer of a server."""

    status: int  # 0: no server answered
    headers: Mapping[str, str]
    body: bytes
    milliseconds: float

    def json(self) -> dict[str, Any]:
        """Return the JSON before the binary tensors; an empty object if it is no JSON object."""
        length = int(self.headers.get("inference-header-content-length", len(self.body)))
        try:
            value = json.loads(self.body[:length])
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return the outputs of an inference answer, JSON or binary float32, by name."""
        at = int(self.headers.get("inference-header-content-length", 0))
        tensors = {}
        for output in self.json().get("outputs", []):
            size_bytes = output.get("parameters", {}).get("binary_data_size", 0)
            flat = np.frombuffer(self.body[at : at + size_bytes], "<f4")
            flat = np.array(output["data"]) if "data" in output else flat
            tensors[output["name"]] = flat.reshape(output["shape"])
            at += size_bytes
        return tensors


def bodies(
    files: Mapping[str, bytes], options: Mapping[str, str] | None = None, *, is_text: bool = False
) -> Iterator[Body]:
    """Yield a request in each form that the server takes; a raw body holds a single file.

    Args:
        files: one or two, by field name.
        options: further fields: in the query of a raw body, else in the body.
        is_text: put the file into JSON as text instead of base64.
    """
    edge, options = "slipway-check", options or {}
    fields = [(f'"{name}"; filename="{name}"', content) for name, content in files.items()]
    fields += [(f'"{name}"', value.encode()) for name, value in options.items()]
    parts = [
        f"--{edge}\r\nContent-Disposition: form-data; name={name}\r\n\r\n".encode()
        + content
        + b"\r\n"
        for name, content in fields
    ]
    whole = b"".join(parts) + f"--{edge}--\r\n".encode()
    yield Body("multipart", whole, f"multipart/form-data; boundary={edge}")
    if len(files) == 1:
        query = f"?{urllib.parse.urlencode(options)}" if options else ""
        (content,) = files.values()
        yield Body("raw", content, BINARY, query)
    texts = {
        name: content.decode() if is_text else base64.b64encode(content).decode()
        for name, content in files.items()
    }
    yield Body("JSON", json.dumps({**texts, **options}).encode(), JSON)


def opener(url: str) -> urllib.request.OpenerDirector:
    """Return an opener that uses the environment's proxy, except for servers of this machine."""
    direct = urllib.parse.urlsplit(url).hostname in LOOPBACK
    return urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if direct else []))


def ask(
    url: str, route: str, body: Body | None = None, *, headers: Mapping[str, str] | None = None
) -> Reply:
    """Send GET, or POST if there is a body; return status 0 if no server answers."""
    kind = {"Content-Type": body.content_type} if body else {}
    content = body.content if body else None
    request = urllib.request.Request(url + route, content, {**kind, **(headers or {})})
    start = time.perf_counter()
    try:
        with opener(url).open(request, timeout=TIMEOUT_S) as answer:
            status, fields, data = answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        status, fields, data = error.code, error.headers, error.read()
    except (OSError, http.client.HTTPException) as error:
        status, fields, data = 0, {}, str(error).encode()
    milliseconds = (time.perf_counter() - start) * 1000
    lower = {name.lower(): value for name, value in fields.items()}
    return Reply(status, lower, data, milliseconds)

"""A small HTTP client that times its questions and never raises for an answer."""

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
    """One way to send media."""

    form: str  # for the table
    content: bytes
    content_type: str
    query: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server said."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    milliseconds: float

    def json(self) -> dict[str, Any]:
        """The body parsed, up to its binary tensors; empty where it is not a JSON object."""
        length = int(self.headers.get("inference-header-content-length", len(self.body)))
        try:
            value = json.loads(self.body[:length])
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Outputs of an inference answer, JSON or binary float32, by name."""
        at = int(self.headers.get("inference-header-content-length", 0))
        found = {}
        for output in self.json().get("outputs", []):
            size_bytes = output.get("parameters", {}).get("binary_data_size", 0)
            flat = np.frombuffer(self.body[at : at + size_bytes], "<f4")
            flat = np.array(output["data"]) if "data" in output else flat
            found[output["name"]] = flat.reshape(output["shape"])
            at += size_bytes
        return found


def bodies(
    files: Mapping[str, bytes], options: Mapping[str, str] | None = None, *, is_text: bool = False
) -> Iterator[Body]:
    """One or two files in each form that the server takes: raw bytes are one file.

    Args:
        files: by field name.
        options: text fields beside them.
        is_text: JSON holds the file as it is, not its base64.
    """
    edge, options = "slipway-check", options or {}
    named = [(f'"{name}"; filename="{name}"', content) for name, content in files.items()]
    named += [(f'"{name}"', value.encode()) for name, value in options.items()]
    parts = [
        f"--{edge}\r\nContent-Disposition: form-data; name={name}\r\n\r\n".encode()
        + content
        + b"\r\n"
        for name, content in named
    ]
    whole = b"".join(parts) + f"--{edge}--\r\n".encode()
    yield Body("multipart", whole, f"multipart/form-data; boundary={edge}")
    if len(files) == 1:
        asked = f"?{urllib.parse.urlencode(options)}" if options else ""
        (content,) = files.values()
        yield Body("raw", content, BINARY, asked)
    texts = {
        name: content.decode() if is_text else base64.b64encode(content).decode()
        for name, content in files.items()
    }
    yield Body("JSON", json.dumps({**texts, **options}).encode(), JSON)


def opener(url: str) -> urllib.request.OpenerDirector:
    """What asks this server: this machine's directly, whatever proxy the environment names."""
    direct = urllib.parse.urlsplit(url).hostname in LOOPBACK
    return urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if direct else []))


def ask(
    url: str, route: str, body: Body | None = None, *, headers: Mapping[str, str] | None = None
) -> Reply:
    """Ask one question: GET without a body, else POST. Status 0 where nobody answered."""
    kind = {"Content-Type": body.content_type} if body else {}
    sent = body.content if body else None
    request = urllib.request.Request(url + route, sent, {**kind, **(headers or {})})
    start = time.perf_counter()
    try:
        with opener(url).open(request, timeout=TIMEOUT_S) as answer:
            status, found, content = answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        status, found, content = error.code, error.headers, error.read()
    except (OSError, http.client.HTTPException) as error:
        status, found, content = 0, {}, str(error).encode()
    milliseconds = (time.perf_counter() - start) * 1000
    lower = {name.lower(): value for name, value in found.items()}
    return Reply(status, lower, content, milliseconds)

"""Send HTTP requests to the server that is checked."""

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from benchmarks.conformance.outcome import CheckError

TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, whole."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    def json(self) -> Any:
        """Return the body parsed.

        Raises:
            CheckError: it is not JSON.
        """
        try:
            return json.loads(self.body)
        except ValueError:
            raise CheckError(f"status {self.status}, not JSON: {self.body[:80]!r}") from None

    def ok(self) -> "Answer":
        """Return the answer itself; refuse one that is not 200."""
        if self.status != 200:
            raise CheckError(f"status {self.status}: {self.body[:160].decode(errors='replace')}")
        return self

    def error(self, *statuses: int) -> str:
        """Return the message of an error; refuse another status, or a body of another form."""
        if self.status not in statuses:
            allowed = " or ".join(map(str, statuses))
            raise CheckError(f"status {self.status}; expected {allowed}")
        content = self.json()
        message = content.get("error") if isinstance(content, dict) else None
        if not isinstance(message, str) or not message:
            raise CheckError(f"status {self.status} without a text as error: {self.body[:80]!r}")
        return message


@dataclass(frozen=True, slots=True)
class Server:
    """The server under a base URL."""

    host: str
    port: int
    base: str  # path before /v2, without its last slash; may be empty
    headers: Mapping[str, str]  # of every request

    @contextmanager
    def connection(self) -> Iterator[http.client.HTTPConnection]:
        """Open a connection and close it at the end of the block."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=TIMEOUT_S)
        try:
            yield connection
        finally:
            connection.close()

    def get(self, path: str) -> Answer:
        """Send a GET on a connection of its own."""
        return self.send("GET", path)

    def post(
        self, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a POST on a connection of its own."""
        return self.send("POST", path, body, headers)

    def send(
        self, method: str, path: str, body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:  # fmt: skip
        """Send a request on a connection of its own."""
        with self.connection() as connection:
            return self.on(connection, method, path, body, headers)

    def on(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request on an open connection.

        Raises:
            CheckError: the connection fails.
        """
        try:
            connection.request(method, self.base + path, body, {**self.headers, **(headers or {})})
            response = connection.getresponse()
            fields = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, fields, response.read())
        except (OSError, http.client.HTTPException) as error:
            raise CheckError(f"{method} {path}: {type(error).__name__} {error}") from None


def server_at(url: str, headers: Mapping[str, str]) -> Server:
    """Return the server of a URL such as http://127.0.0.1:8000/base."""
    parts = urlsplit(url if "//" in url else f"//{url}")
    return Server(parts.hostname or "127.0.0.1", parts.port or 80, parts.path.rstrip("/"), headers)

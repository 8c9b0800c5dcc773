"""A server on a loopback port that answers with bytes that a test writes, one connection each."""

import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

RECEIVE_BYTES = 65536


class Scripted:
    """The requests that arrived, by connection."""

    def __init__(self, answers: Sequence[bytes], *, reads_body: bool, ends: bool) -> None:
        """Answer one connection after the other; b"" closes it without an answer."""
        self.requests: list[bytes] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.thread = threading.Thread(target=self._serve, args=(answers, reads_body, ends))

    def _serve(self, answers: Sequence[bytes], reads_body: bool, ends: bool) -> None:
        for answer in answers:
            try:
                connection, _ = self.listener.accept()
            except OSError:  # the test ended
                return
            with connection:
                self.requests.append(_request(connection, reads_body=reads_body))
                connection.sendall(answer)
                if ends:
                    connection.shutdown(socket.SHUT_WR)
                while connection.recv(RECEIVE_BYTES):
                    pass


def _request(connection: socket.socket, *, reads_body: bool) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(RECEIVE_BYTES)
    head, _, body = data.partition(b"\r\n\r\n")
    sizes = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    size = int(sizes[0].partition(b":")[2]) if sizes else 0
    is_chunked = b"transfer-encoding: chunked" in head.lower()
    while reads_body and (len(body) < size or (is_chunked and not body.endswith(b"0\r\n\r\n"))):
        body += connection.recv(RECEIVE_BYTES)
    return head + b"\r\n\r\n" + body


@contextmanager
def scripted(
    *answers: bytes,
    reads_body: bool = True,
    ends: bool = True,
    context: ssl.SSLContext | None = None,
) -> Iterator[Scripted]:
    """Run the server until the block ends.

    Args:
        answers: of one connection each.
        reads_body: before it answers.
        ends: the connection after the answer; else its client does.
        context: of TLS; None for plain HTTP.
    """
    server = Scripted(answers, reads_body=reads_body, ends=ends)
    if context is not None:
        server.listener = context.wrap_socket(server.listener, server_side=True)
        server.url = server.url.replace("http:", "https:")
    server.thread.start()
    try:
        yield server
    finally:
        server.listener.shutdown(socket.SHUT_RDWR)
        server.listener.close()
        server.thread.join()


def answer_of(status: int, body: bytes = b"{}", **headers: str) -> bytes:
    """Return the bytes of an answer that closes its connection."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body

"""A proxy that opens tunnels (CONNECT), whatever host is asked for, to a port of this machine."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from tests.support.threaded import threaded_server


@dataclass
class Tunnel:
    """The port behind a proxy, and the requests that it got."""

    target_port: int
    port: int = 0
    authorization: str = ""  # that is asked for; "": none
    requests: list[tuple[str, str]] = field(default_factory=list)  # host:port, Proxy-Authorization


class _Handler(BaseHTTPRequestHandler):
    tunnel: Tunnel

    def do_CONNECT(self) -> None:
        tunnel = self.tunnel
        authorization = self.headers.get("Proxy-Authorization", "")
        tunnel.requests.append((self.path, authorization))
        if tunnel.authorization and authorization != tunnel.authorization:
            self.send_error(407)
            return
        with socket.create_connection(("127.0.0.1", tunnel.target_port), 60) as upstream:
            self.send_response_only(200)
            self.end_headers()
            back = threading.Thread(target=_copy, args=(upstream, self.connection), daemon=True)
            back.start()
            _copy(self.connection, upstream)
            back.join(60)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def tunnel_to(port: int) -> Iterator[Tunnel]:
    """Run a proxy until the block ends."""
    tunnel = Tunnel(port)
    handler = type("Handler", (_Handler,), {"tunnel": tunnel})
    with threaded_server(handler) as tunnel.port:
        yield tunnel

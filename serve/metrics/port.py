"""Serve /metrics on a port of its own, and nothing else there."""

from starlette.types import ASGIApp, Receive, Scope, Send

from serve.errors import error_response
from serve.text.messages import truncate

PATH = "/metrics"


class MetricsPort:
    """ASGI middleware that answers /metrics on one port alone, and only that there."""

    def __init__(self, app: ASGIApp, port: int) -> None:
        """Wrap an application."""
        self.app = app
        self._port = port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or respond 404 on the wrong port."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path, address = scope["path"].removeprefix(scope.get("root_path", "")), scope.get("server")
        is_inside = address is None or address[1] is None  # a Unix socket, of another worker
        if is_inside or is_metrics_port(scope, self._port) == (path == PATH):
            await self.app(scope, receive, send)
            return
        other = f"allowed there: {PATH}" if path != PATH else "it has a port of its own"
        response = error_response(f"no route {truncate(path)} on this port; {other}", status=404)
        await response(scope, receive, send)


def is_metrics_port(scope: Scope, port: int) -> bool:
    """Return whether a request came by the port of the metrics."""
    address = scope.get("server")
    return bool(port) and address is not None and address[1] == port

"""`python -m serve`: load every artifact, then answer until told to stop."""

import argparse
import os
import signal
import socket
import sys
from collections.abc import Sequence

import cv2
import uvicorn

from runtime.engine.allocator import tune_allocator
from runtime.errors import SlipwayError
from serve.app import create_app
from serve.catalog.catalog import Catalog, load_catalog
from serve.catalog.facts import facts_of
from serve.catalog.task_models import assignments, check_assignments, check_panel
from serve.http.connections import BUSY_CONNECTIONS, BoundedProtocol
from serve.settings import Settings, SettingsError, from_environment

SHUTDOWN_S = 30  # for requests in progress; a client that stalls in its upload is not waited for


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT.

    Returns:
        0 after a stop on request; 1 where a setting, an artifact or the port is refused.
    """
    # process 1 of a container has no default handlers and would ignore a stop while it loads
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    tune_allocator()
    try:
        settings = _settings(arguments)
        catalog = _load(settings)
        listener = _listen(settings.host, settings.port)
    except SlipwayError as error:
        print(f"serve: {error}", file=sys.stderr)
        return 1
    # requests run side by side; OpenCV would give each decode every CPU of the host
    cv2.setNumThreads(settings.threads)
    _announce(catalog, listener)
    config = uvicorn.Config(
        create_app(settings, catalog),
        http=BoundedProtocol,
        limit_concurrency=BUSY_CONNECTIONS,
        loop="asyncio",
        ws="none",
        lifespan="on",
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
    uvicorn.Server(config).run(sockets=[listener])
    return 0


def _settings(arguments: Sequence[str] | None) -> Settings:
    """The environment's settings, with those of the command line in their place."""
    parser = argparse.ArgumentParser(
        prog="python -m serve", description="Answer over HTTP with the models below a directory."
    )
    parser.add_argument("--artifacts", metavar="DIR", help="default: SLIPWAY_ARTIFACTS, artifacts")
    parser.add_argument("--host", metavar="HOST", help="default: SLIPWAY_HOST, 127.0.0.1")
    parser.add_argument("--port", metavar="PORT", help="default: PORT, 8000; 0 picks a free one")
    given = parser.parse_args(arguments)
    names = {"SLIPWAY_ARTIFACTS": given.artifacts, "SLIPWAY_HOST": given.host, "PORT": given.port}
    overrides = {name: value for name, value in names.items() if value is not None}
    return from_environment({**os.environ, **overrides})


def _load(settings: Settings) -> Catalog:
    catalog = load_catalog(
        settings.artifacts, threads=settings.threads, allow_seeded=settings.allow_seeded
    )
    check_assignments(catalog, assignments(settings))
    check_panel(catalog, settings)
    return catalog


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        reason = error.strerror or str(error)
        raise SettingsError(f"cannot listen on {host}, port {port}: {reason}") from error


def _announce(catalog: Catalog, listener: socket.socket) -> None:
    for name, model in catalog.items():
        note = "".join(f" ({warning})" for warning in facts_of(model).warnings)
        print(f"serve: {name}/{model.manifest.version} {model.variant.name}{note}", file=sys.stderr)
    host, port = listener.getsockname()[:2]
    address = f"[{host}]" if ":" in host else host
    print(f"serve: listening on http://{address}:{port}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

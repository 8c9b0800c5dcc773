"""`python -m serve`: load every model, then serve until SIGTERM or SIGINT."""

import faulthandler
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
from serve.http.listener import allowed_connections, listen
from serve.http.registry import Connections
from serve.http.server import BACKLOG, limits_of, protocol_of
from serve.repository.models import ModelRepository, load_repository
from serve.repository.provenance import provenance_of
from serve.repository.task_models import check_ensemble, check_task_models, task_models
from serve.settings import Settings, from_environment
from serve.settings.command_line import parse_arguments
from serve.settings.environment import unknown_variables

SHUTDOWN_S = 30  # for requests in progress; then a client that stalls in its upload is cut off


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT.

    Returns:
        0 after a signal; 1 if a setting, an artifact or the port is refused.
    """
    # process 1 of a container has no default handlers: it would ignore SIGTERM while it loads
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    tune_allocator()
    try:
        settings = _settings(arguments)
        repository = _load(settings)
        listener = listen(settings.host, settings.port)
    except SlipwayError as error:
        for line in str(error).splitlines():
            print(f"serve: {line}", file=sys.stderr)
        return 1
    # requests run in parallel; by default OpenCV takes every CPU of the host for each decode
    cv2.setNumThreads(settings.threads)
    _announce(repository, listener)
    _silence_native_libraries()
    connections = Connections(limits_of(settings, connections=allowed_connections()))
    config = uvicorn.Config(
        create_app(settings, repository),
        http=protocol_of(connections),
        backlog=BACKLOG,
        loop="asyncio",
        ws="none",
        lifespan="on",
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
    uvicorn.Server(config).run(sockets=[listener])
    return 0


def _settings(arguments: Sequence[str] | None) -> Settings:
    """Return the settings of the environment, overridden by those of the command line."""
    environ = {**os.environ, **parse_arguments(arguments).overrides}
    for warning in unknown_variables(environ):
        print(f"serve: {warning}", file=sys.stderr)
    return from_environment(environ)


def _load(settings: Settings) -> ModelRepository:
    repository = load_repository(
        settings.artifacts, threads=settings.threads, allow_seeded=settings.allow_seeded
    )
    check_task_models(repository, task_models(settings))
    check_ensemble(repository, settings)
    return repository


def _silence_native_libraries() -> None:
    """Keep the standard error stream for Python's own messages: logs, warnings and tracebacks.

    libpng writes a line to file descriptor 2 for each damaged file, so that any client could fill
    the server's log. Python gets a descriptor of its own, and 2 becomes /dev/null.
    """
    log = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
    with open(os.devnull, "wb") as null:
        os.dup2(null.fileno(), 2)
    sys.stderr = log
    faulthandler.enable(log)  # the traceback of a crash in native code


def _announce(repository: ModelRepository, listener: socket.socket) -> None:
    for name, model in repository.items():
        note = "".join(f" ({warning})" for warning in provenance_of(model).warnings)
        print(f"serve: {name}/{model.manifest.version} {model.variant.name}{note}", file=sys.stderr)
    host, port = listener.getsockname()[:2]
    address = f"[{host}]" if ":" in host else host
    print(f"serve: listening on http://{address}:{port}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

"""Serve in this process: the only one of the server, or one of its workers."""

import socket
from collections.abc import Callable

import uvicorn

from runtime.artifact.signature import TrustedKeys
from serve.app import create_app
from serve.http.cutting import AnsweringCuts
from serve.http.listener import allowed_connections
from serve.http.registry import Connections
from serve.http.server import BACKLOG, limits_of, protocol_of
from serve.keys.ring import KeyRing
from serve.lifecycle.server import Server
from serve.lifecycle.signals import Signals
from serve.repository.models import ModelRepository
from serve.repository.reload import Reloader
from serve.settings import Settings, SettingsError
from serve.workers.board import Row
from serve.workers.siblings import Siblings


def serve(
    settings: Settings,
    repository: ModelRepository,
    listeners: list[socket.socket],
    signals: Signals,
    report: Callable[[str], None],
    *,
    row: Row | None = None,
    siblings: Siblings | None = None,
) -> int:
    """Load the models and serve until a signal.

    Args:
        settings: of this process.
        repository: not started.
        listeners: that connections are accepted from.
        signals: caught already.
        report: takes one line of the log.
        row: of this worker; None if it is the only one.
        siblings: the other workers; None if there is none.

    Returns:
        The exit code: 1 if it can answer nothing, else 0.
    """
    for limit in repository.memory.limits:
        report(f"memory: {limit}")
    stop = signals.stop
    reloader = Reloader(
        repository,
        settings.directory,
        allow_seeded=settings.allow_seeded,
        trusted=TrustedKeys(settings.trusted_keys),
    )
    keys = KeyRing(settings)
    connections = Connections(limits_of(settings, connections=allowed_connections()))
    config = uvicorn.Config(
        AnsweringCuts(
            create_app(settings, repository, stop, siblings, connections, reloader, keys), stop
        ),
        http=protocol_of(connections),
        backlog=BACKLOG,
        loop="asyncio",
        ws="none",
        lifespan="on",
        server_header=False,
        log_config=None,
        access_log=False,
        proxy_headers=False,  # uvicorn believes any client of this machine
    )

    def reload() -> None:
        reloader.reload()
        if not keys.is_required:
            return
        try:
            report(f"{keys.reload()} API keys are valid")
        except SettingsError as error:
            report(f"the API keys are as they were: {error}")

    server = Server(
        config,
        signals,
        connections,
        grace_s=settings.grace_s,
        timeout_s=settings.stop_timeout_s,
        report=report,
        reload=reload,
        row=row,
    )
    server.run(sockets=listeners)
    return 1 if stop.failure else 0

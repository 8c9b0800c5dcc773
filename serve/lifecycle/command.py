"""`python -m serve`: check the settings, open the port, load the models, serve until a signal."""

import os
import socket
import sys
from collections.abc import Mapping, Sequence

import cv2
import uvicorn

from runtime.engine.allocator import tune_allocator
from runtime.errors import ArtifactError, SlipwayError
from serve.app import create_app
from serve.http.cutting import AnsweringCuts
from serve.http.listener import allowed_connections, listen, url_of
from serve.http.log.start import open_log
from serve.http.registry import Connections
from serve.http.server import BACKLOG, limits_of, protocol_of
from serve.lifecycle.check import check
from serve.lifecycle.server import Server
from serve.lifecycle.signals import Signals
from serve.repository.loading import NOTHING_TO_SERVE
from serve.repository.models import ModelRepository
from serve.repository.opening import open_repository
from serve.repository.task_models import check_task_models, task_models
from serve.settings import Settings, from_environment
from serve.settings.command_line import parse_arguments
from serve.settings.environment import unknown_variables
from serve.settings.profile import is_frugal


def main(arguments: Sequence[str] | None, signals: Signals, command_help: str = "") -> int:
    """Serve until SIGTERM or SIGINT.

    Args:
        arguments: of the command line; None for those of the process.
        signals: caught already.
        command_help: lines of --help about other commands.

    Returns:
        0 after a signal; 1 if a setting, the port or all artifacts are refused.
    """
    tune_allocator()
    command_line = parse_arguments(arguments, command_help)
    environ = {**os.environ, **command_line.overrides}
    try:
        settings = _settings(environ)
        # requests run in parallel; by default OpenCV takes every CPU of the host for each decode
        cv2.setNumThreads(settings.threads)
        if command_line.check:
            signals.release()
            return check(settings)
        open_log(settings.log)
        repository = open_repository(settings, report)
        if not len(repository):
            raise ArtifactError(NOTHING_TO_SERVE)
        check_task_models(repository.tasks, task_models(settings))
        listener = listen(settings.host, settings.port)
    except SlipwayError as error:
        for line in str(error).splitlines():
            report(line)
        return 1
    if signals.stop.requested:
        return 0
    return _serve(settings, repository, listener, signals)


def report(line: str) -> None:
    """Write one line to the log."""
    print(f"serve: {line}", file=sys.stderr)


def _settings(environ: Mapping[str, str]) -> Settings:
    for warning in unknown_variables(environ):
        report(warning)
    if is_frugal(environ):
        report("the frugal profile is in effect; MEMORY_CONSTRAINED=0 keeps it off")
    return from_environment(environ)


def _serve(
    settings: Settings, repository: ModelRepository, listener: socket.socket, signals: Signals
) -> int:
    report(f"listening on {url_of(listener)}")
    for limit in repository.memory.limits:
        report(f"memory: {limit}")
    stop = signals.stop
    connections = Connections(limits_of(settings, connections=allowed_connections()))
    config = uvicorn.Config(
        AnsweringCuts(create_app(settings, repository, stop), stop),
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
    server = Server(
        config,
        signals,
        connections,
        grace_s=settings.grace_s,
        timeout_s=settings.stop_timeout_s,
        report=report,
    )
    server.run(sockets=[listener])
    return 1 if stop.failure else 0

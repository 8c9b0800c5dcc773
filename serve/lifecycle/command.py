"""`python -m serve`: check the settings, open the port, load the models, serve until a signal."""

import os
import socket
import sys
from collections.abc import Mapping, Sequence

import cv2

from runtime.engine.allocator import tune_allocator
from runtime.errors import ArtifactError, SlipwayError
from runtime.transport.reference import Reference
from serve.http.listener import listen, url_of
from serve.http.log.start import open_log
from serve.keys.ring import KeyRing
from serve.keys.warning import open_to_all
from serve.lifecycle.arrival import await_artifacts
from serve.lifecycle.check import check
from serve.lifecycle.process import serve
from serve.lifecycle.signals import Signals
from serve.lifecycle.workers import Report, patient_report, serve_with_workers
from serve.metrics.port import PATH as METRICS_PATH
from serve.repository.loading import NOTHING_TO_SERVE
from serve.repository.opening import open_repository
from serve.repository.pulled import Pulled
from serve.repository.task_models import check_task_models, task_models
from serve.settings import Settings, SettingsError, from_environment
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
        if settings.workers == 1:
            open_log(settings.log)
        say = report if settings.workers == 1 else patient_report(settings.log)
        KeyRing(settings)  # it is read before the port is open, and again in each worker
        listeners: list[socket.socket] = []
        pulled: Pulled | None = Pulled(settings)  # held to the end: its directory stays
        if isinstance(settings.artifacts, Reference):
            listeners = _listeners(settings, say)
            pulled = await_artifacts(settings, listeners[0], signals.stop, say)
        if pulled is None:
            return 0
        settings = pulled.settings
        repository = open_repository(settings, say)
        if not len(repository):
            raise ArtifactError(NOTHING_TO_SERVE)
        check_task_models(repository.tasks, task_models(settings))
        listeners = listeners or _listeners(settings, say)
    except SlipwayError as error:
        for line in str(error).splitlines():
            report(line)
        return 1
    if signals.stop.requested:
        return 0
    if settings.workers > 1:
        return serve_with_workers(settings, listeners, signals, say)
    return serve(settings, repository, listeners, signals, say)


def _listeners(settings: Settings, say: Report) -> list[socket.socket]:
    """Return the listening sockets: first the port, then that of the metrics if it is another."""
    listeners: list[socket.socket] = [listen(settings.host, settings.port)]
    if settings.metrics_port:
        listeners.append(listen(settings.host, settings.metrics_port))
    say(f"listening on {url_of(listeners[0])}")
    if warning := open_to_all(settings):
        say(warning)
    for listener in listeners[1:]:
        say(f"metrics on {url_of(listener)}{METRICS_PATH}")
    return listeners


def report(line: str) -> None:
    """Write one line to the log."""
    print(f"serve: {line}", file=sys.stderr)


def _settings(environ: Mapping[str, str]) -> Settings:
    for warning in unknown_variables(environ):
        report(warning)
    if is_frugal(environ):
        report("the frugal profile is in effect; MEMORY_CONSTRAINED=0 keeps it off")
    settings = from_environment(environ)
    if settings.workers > 1 and sys.platform != "linux":
        raise SettingsError(f"WORKERS is {settings.workers}; allowed on this system: 1")
    return settings

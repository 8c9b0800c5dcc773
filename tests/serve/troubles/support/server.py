"""`python -m serve` as the suite starts it: on a free port, in a cgroup, its log in a file."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.serve.troubles.support import memory, wire
from tests.serve.troubles.support.cgroup import Cgroup
from tests.support.ports import free_port
from tests.support.server_process import PROJECT, SETTINGS

START_S = 180.0  # of every model, on a machine that does other work
LOG_CHARACTERS = 2000  # of the log that a failure quotes
# a shell puts itself into the cgroup and then becomes the server: no child is ever outside
IN_CGROUP = ("/bin/sh", "-c", 'echo $$ > "$0/tasks" && exec "$@"')


@dataclass(frozen=True, slots=True)
class Server:
    """A running server and where its messages go."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    samples: memory.Samples

    @property
    def pid(self) -> int:
        """Return the process id of the server itself."""
        return self.process.pid

    def log_text(self) -> str:
        """Return what the server has logged so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def answers(self) -> bool:
        """Return whether /v2/health/live answers 200."""
        answer = wire.get(self.port, wire.LIVE)
        return answer is not None and answer.status == 200


def command(
    artifacts: Path, port: int, *, cgroup: Cgroup | None = None, prefix: Sequence[str] = ()
) -> list[str]:
    """Return the command of a server; `prefix` is a program that starts it."""
    entry = () if cgroup is None else (*IN_CGROUP, str(cgroup.path))
    serve = [sys.executable, "-m", "serve", "--artifacts", str(artifacts), "--port", str(port)]
    return [*entry, *prefix, *serve]


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return this environment with these settings and no others."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in SETTINGS and not name.startswith("SLIPWAY_")
    }
    # the troubles are those of work that is done
    own = {"ORT_DISABLE_TELEMETRY": "1", "SLIPWAY_CACHE": "none"}
    return {**inherited, **own, **settings}


@contextmanager
def started(
    artifacts: Path,
    log: Path,
    *,
    cgroup: Cgroup | None = None,
    checkout: Path = PROJECT,
    settings: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
    output: int | None = None,
    ready: str = "/v2/health/ready",
) -> Iterator[Server]:
    """Run a server until the block ends, and sample its memory.

    Args:
        artifacts: to serve.
        log: file of its standard output and error streams.
        cgroup: it runs in; None for none.
        checkout: the code that serves.
        settings: variables of its environment.
        prefix: program and arguments that start it.
        output: another file descriptor than that of the log.
        ready: the path that must answer 200 before the block begins.
    """
    port = free_port()
    with open(log, "wb") as stream:
        process = subprocess.Popen(
            command(artifacts, port, cgroup=cgroup, prefix=prefix),
            cwd=checkout,
            env=environment(settings or {}),
            stdin=subprocess.DEVNULL,
            stdout=stream if output is None else output,
            stderr=stream if output is None else output,
        )
    try:
        with memory.sampled(process.pid, cgroup) as samples:
            server = Server(process, port, log, samples)
            wait_until_ready(server, ready)
            yield server
    finally:
        for pid in memory.process_tree(process.pid)[1:]:
            _kill(pid)
        process.kill()
        process.wait()


def wait_until_ready(server: Server, path: str) -> None:
    """Wait until a path answers 200.

    Raises:
        AssertionError: the server ended, or is not ready after START_S; quotes its log.
    """
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        assert server.process.poll() is None, server.log_text()[-LOG_CHARACTERS:]
        try:
            answer = wire.get(server.port, path)
        except OSError:
            answer = None
        if answer is not None and answer.status == 200:
            return
        time.sleep(0.02)
    raise AssertionError(f"{path} did not answer 200: {server.log_text()[-LOG_CHARACTERS:]}")


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)

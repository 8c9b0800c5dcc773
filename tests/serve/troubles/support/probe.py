"""A client in a process of its own that asks /v2/health/live again and again.

    python probe.py PORT    prints `ready`; at the end of stdin a line of JSON, seconds by name

The process of a test is busy with its own trouble: a thread of it would measure that too. The file
imports nothing of the project, so that it starts quickly.
"""

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

PAUSE_S = 0.02  # between two requests
LEAST = 5  # requests, however soon the trouble ends
TIMEOUT_S = 30.0
REQUEST = b"GET /v2/health/live HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n"


@dataclass(slots=True)
class Probe:
    """The latencies of the requests, each on a connection of its own; filled when it ends."""

    latencies_s: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)  # no answer, or another than 200
    late_s: float = 0.0  # the longest oversleeping of the probe: how busy the machine is

    def quantile_s(self, share: float) -> float:
        """Return the latency that `share` of the requests do not exceed."""
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else TIMEOUT_S

    @property
    def p99_s(self) -> float:
        """Return the 99th percentile."""
        return self.quantile_s(0.99)

    @property
    def max_s(self) -> float:
        """Return the longest latency."""
        return max(self.latencies_s, default=TIMEOUT_S)


@contextmanager
def probing(port: int) -> Iterator[Probe]:
    """Probe the server while the block runs."""
    process = subprocess.Popen(
        [sys.executable, "-S", "-E", str(Path(__file__)), str(port)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    probe = Probe()
    try:
        yield probe
        output, _ = process.communicate(timeout=2 * TIMEOUT_S)
        measured = json.loads(output)
        probe.latencies_s, probe.failures = measured["latencies_s"], measured["failures"]
        probe.late_s = measured["late_s"]
    finally:
        process.kill()
        process.communicate()


def _ask(port: int) -> str:
    """Return "" after an answer 200, else what came instead."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as connection:
            connection.sendall(REQUEST)
            answer = b""
            while data := connection.recv(4096):
                answer += data
    except OSError as error:
        return repr(error)
    return "" if answer.startswith(b"HTTP/1.1 200 ") else repr(answer[:80])


def _wait_for_end(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


def _main() -> None:
    port = int(sys.argv[1])
    ended = threading.Event()
    threading.Thread(target=_wait_for_end, args=(ended,), daemon=True).start()
    latencies: list[float] = []
    failures: list[str] = []
    late_s = 0.0
    print("ready", flush=True)
    while not ended.is_set() or len(latencies) < LEAST:
        begin = time.monotonic()
        failure = _ask(port)
        answered = time.monotonic()
        latencies.append(answered - begin)
        if failure:
            failures.append(failure)
        ended.wait(PAUSE_S)
        late_s = max(late_s, time.monotonic() - answered - PAUSE_S)
    print(json.dumps({"latencies_s": latencies, "failures": failures, "late_s": late_s}))


if __name__ == "__main__":
    _main()

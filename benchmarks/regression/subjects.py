"""Processes of one side that are timed, run by run."""

import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

from benchmarks.errors import BenchmarkError
from benchmarks.regression.checkout import Checkout
from benchmarks.regression.workload import HttpCase, Workload

WORKER = Path(__file__).with_name("worker.py")
START_S = 60.0
REST_S, REST_LOOKS = 0.0005, 200  # between two looks at a server that works, and most of them
IMPORT = "import time, runtime.model, serve.app; print(time.process_time_ns())"
_LISTENING = re.compile(r"listening on http://[^\n]*:(\d+)\n")
_ANON = re.compile(r"^RssAnon:\s*(\d+) kB$", re.MULTILINE)
_CPU_OF_PROCESS = 2  # CPUCLOCK_SCHED: the scheduler's nanoseconds of all threads

Durations = Sequence[tuple[int, int]]  # wall and CPU nanoseconds of each run


class Subject(Protocol):
    """A process, or what starts one for each run."""

    def measure(self, case: str, runs: int, loops: int) -> Durations:
        """Return the durations of runs of a case, each of `loops` calls."""

    def close(self) -> None:
        """End the process."""


class Worker:
    """A process that has loaded the models of one side."""

    def __init__(self, checkout: Checkout, workload: Workload) -> None:
        """Start it; it is ready when its first line has come."""
        self._numbers = {stage.name: number for number, stage in enumerate(workload.stages)}
        # a file: a pipe that nobody reads would fill
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - until close
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(WORKER), str(checkout.directory), str(workload.file)],
            cwd=checkout.directory,
            env=checkout.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        try:
            self._read()
        except BenchmarkError:
            self.close()
            raise

    def measure(self, case: str, runs: int, loops: int) -> Durations:
        """Return the durations of runs of a case, each of `loops` calls."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{self._numbers[case]} {runs} {loops}\n")
        self._process.stdin.flush()
        return [(wall, cpu) for wall, cpu in json.loads(self._read())]

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._log.close()

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            text = _text_of(self._log).strip()
            raise BenchmarkError(f"a worker ended: {text[-2000:]}")
        return line


class HttpServer:
    """`python -m serve` of one side, asked over one connection; CPU time is the server's."""

    def __init__(self, checkout: Checkout, workload: Workload) -> None:
        """Start it and wait until its models are loaded."""
        self._cases: Mapping[str, HttpCase] = {case.name: case for case in workload.requests}
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - until close
        artifacts = str(workload.artifacts)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "serve", "--artifacts", artifacts, "--port", "0"],
            cwd=checkout.directory,
            env=checkout.environment(),
            stdout=subprocess.DEVNULL,
            stderr=self._log,
        )
        self._client = http.client.HTTPConnection("127.0.0.1", self._port(self._log), timeout=60)

    def measure(self, case: str, runs: int, loops: int) -> Durations:
        """Return the durations of runs of `loops` requests; CPU nanoseconds are the server's."""
        durations = []
        clock = (~self._process.pid << 3) | _CPU_OF_PROCESS
        for _ in range(runs):
            wall, cpu = time.perf_counter_ns(), time.clock_gettime_ns(clock)
            for _ in range(loops):
                self._ask(self._cases[case])
            self._rest()
            cpu = time.clock_gettime_ns(clock) - cpu
            durations.append((time.perf_counter_ns() - wall, cpu))
        return durations

    def _rest(self) -> None:
        """Wait until every thread sleeps: the kernel adds the time of one that runs only then."""
        for _ in range(REST_LOOKS):
            if not _is_running(self._process.pid):
                return
            time.sleep(REST_S)

    def anonymous_bytes(self) -> int:
        """Return the memory of the server that comes from no file."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="utf-8")
        return sum(int(kb) * 1024 for kb in _ANON.findall(status))

    def close(self) -> None:
        """End the process."""
        self._client.close()
        self._process.kill()
        self._process.wait()
        self._log.close()

    def _ask(self, case: HttpCase) -> None:
        self._client.request(case.method, case.path, case.body, {"Content-Type": case.content_type})
        answer = self._client.getresponse()
        body = answer.read()
        if answer.status != 200:
            place = f"{case.method} {case.path}"
            raise BenchmarkError(f"{place} answered {answer.status}: {body[:300]!r}")

    def _port(self, log: IO[str]) -> int:
        limit = time.monotonic() + START_S
        while time.monotonic() < limit and self._process.poll() is None:
            text = _text_of(log)
            if (line := _LISTENING.search(text)) and "serve: ready\n" in text:
                return int(line[1])
            time.sleep(0.02)
        text = _text_of(log)
        self._process.kill()
        self._process.wait()
        log.close()
        raise BenchmarkError(f"a server did not become ready: {text[-2000:]}")


class Imports:
    """Fresh interpreters of one side that import the runtime and the server."""

    def __init__(self, checkout: Checkout) -> None:
        """Import once, so that the byte code is there."""
        self._checkout = checkout
        self.measure("", 1, 1)

    def measure(self, case: str, runs: int, loops: int) -> Durations:
        """Return the durations of interpreters from their start to the end of the imports."""
        del case, loops
        return [self._run() for _ in range(runs)]

    def close(self) -> None:
        """Do nothing: no process remains."""

    def _run(self) -> tuple[int, int]:
        start = time.perf_counter_ns()
        done = subprocess.run(
            [sys.executable, "-c", IMPORT],
            cwd=self._checkout.directory,
            env=self._checkout.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise BenchmarkError(f"an import failed: {done.stderr.strip()[-2000:]}")
        return time.perf_counter_ns() - start, int(done.stdout)


def _is_running(pid: int) -> bool:
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            text = (task / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue  # the thread has ended
        # the name of a thread is in brackets, and may hold any character
        if text.rpartition(")")[2].split()[0] == "R":
            return True
    return False


def _text_of(log: IO[str]) -> str:
    # the process writes at the offset of the shared descriptor: pread does not move it
    return os.pread(log.fileno(), 100_000, 0).decode(errors="replace")

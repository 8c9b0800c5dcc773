"""A real Ray: its answers are those of one process, and replicas come and go with the load.

SLIPWAY_RAY_PYTHON is the python of an environment with deploy/ray/requirements.txt.
"""

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.serve.troubles.support.catalogue import task_requests
from tests.serve.troubles.support.wire import ask
from tests.support.artifacts import (
    CLASSIFIER,
    EMBEDDING,
    EMOTIONS,
    FACES,
    GAIT,
    SEGMENTATION,
    SLOW,
    TENSORS,
    TEXT,
    VOICE,
    write_artifact,
)
from tests.support.images import solid
from tests.support.ports import free_port
from tests.support.server_process import PROJECT, environment, serving

PYTHON = os.environ.get("SLIPWAY_RAY_PYTHON", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON, reason="SLIPWAY_RAY_PYTHON does not name a python with Ray"),
]
GRAPHS = (CLASSIFIER, EMOTIONS, FACES, EMBEDDING, SEGMENTATION, TEXT, VOICE, GAIT, TENSORS, SLOW)
MODEL = "tiny_slow"
GREY = solid(60, 60, 60)  # a run of the slow model takes about 0.2 s
START_S, SCALE_S, END_S = 600, 180, 120  # of a busy machine
SCALE = ("cpus=0.5", "front_cpus=0.5", "up_delay_s=1", "down_delay_s=3", "look_back_s=3")


@dataclass(slots=True)
class Cluster:
    """A Ray of this test's own, and what it printed."""

    process: subprocess.Popen[str]
    port: int
    lines: list[str] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def read(self) -> None:
        """Take the lines of the process until it ends."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self.changed:
                self.lines.append(line)
                self.changed.notify_all()

    def wait_for(self, pattern: str, seconds: float, *, after: int = 0) -> int:
        """Wait for a line that a pattern finds; return the number of lines up to it."""

        def position() -> int:
            numbers = range(after, len(self.lines))
            lines = (number + 1 for number in numbers if re.search(pattern, self.lines[number]))
            return next(lines, 0)

        with self.changed:
            assert self.changed.wait_for(position, seconds), "".join(self.lines[-20:])
            return position()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("artifacts")
    for graph in GRAPHS:
        write_artifact(root, graph)
    return root


@pytest.fixture(scope="module")
def cluster(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    port = free_port()
    # the path of Ray's sockets may have 107 bytes
    temporary = Path("/tmp") / f"ray-test-{os.getpid()}"
    environ = environment(
        SLIPWAY_ARTIFACTS=str(root),
        RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S="1",
        RAY_SERVE_HANDLE_AUTOSCALING_METRIC_PUSH_INTERVAL_S="1",
        PYTHONUNBUFFERED="1",
    )
    arguments = ("--port", str(port), "--cpus", "16", "--temp", str(temporary), *SCALE)
    process = subprocess.Popen(
        [PYTHON, "-m", "deploy.ray", *arguments],
        cwd=PROJECT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    cluster = Cluster(process, port)
    reader = threading.Thread(target=cluster.read, daemon=True)
    reader.start()
    try:
        cluster.wait_for("ray: ready", START_S)
        yield cluster
    finally:
        members = family(process.pid)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(END_S)
        finally:
            for pid, line in members:
                if _command(pid) == line:
                    os.kill(pid, signal.SIGKILL)
            process.wait(END_S)
            reader.join(END_S)
            if process.stdout:
                process.stdout.close()
            subprocess.run(["rm", "-rf", str(temporary)], check=False)


def family(pid: int) -> list[tuple[int, str]]:
    """Return a process and its descendants: the id and the command line of each."""
    parents = dict[int, int]()
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
    members = {pid}
    while more := {one for one, parent in parents.items() if parent in members} - members:
        members |= more
    return [(one, line) for one in sorted(members) if (line := _command(one))]


def _command(pid: int) -> str:
    """Return the command line of a process; "" if it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
    return ""


def test_every_answer_is_that_of_one_process(cluster: Cluster, root: Path, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{cluster.port}"
    assert httpx.get(f"{url}/health/ready", timeout=60).status_code in (200, 503)
    with serving("--artifacts", str(root), SLIPWAY_MAX_BATCH="1") as server:
        single = int(server.url.rpartition(":")[2])
        requests = task_requests(tmp_path)
        assert len({template for template, *_ in requests}) >= 9
        for template, request, *_ in requests:
            expected, answer = ask(single, request), ask(cluster.port, request)
            assert expected is not None
            assert answer is not None
            assert (answer.status, answer.body) == (expected.status, expected.body), template
            assert answer.headers["content-type"] == expected.headers["content-type"]
        errors = [b"no picture", solid(9, 9, 9)[:40]]
        for data in errors:
            answers = [
                httpx.post(f"http://127.0.0.1:{port}/v1/face-emotion", content=data)
                for port in (single, cluster.port)
            ]
            assert answers[0].status_code == 400
            assert answers[0].json() == answers[1].json()


def test_replicas_come_with_the_load_and_go_after_it(cluster: Cluster) -> None:
    url = f"http://127.0.0.1:{cluster.port}/v1/models/{MODEL}"
    cluster.wait_for(f"replicas of {MODEL}: 1", SCALE_S)
    ended, statuses = threading.Event(), set[int]()

    def ask_on() -> None:
        with httpx.Client(timeout=60) as client:
            while not ended.is_set():
                statuses.add(client.post(url, content=GREY).status_code)

    before = len(cluster.lines)
    with ThreadPoolExecutor(6) as threads:
        for _ in range(6):
            threads.submit(ask_on)
        try:
            more = cluster.wait_for(f"replicas of {MODEL}: [2-4]", SCALE_S, after=before)
        finally:
            ended.set()
    cluster.wait_for(f"replicas of {MODEL}: 1", SCALE_S, after=more)
    assert statuses <= {200, 429}
    counts = re.findall(rf"replicas of {MODEL}: (\d+)", "".join(cluster.lines[before:]))
    assert max(map(int, counts)) <= 4


def test_a_replica_that_is_killed_costs_its_requests_and_is_replaced(cluster: Cluster) -> None:
    url = f"http://127.0.0.1:{cluster.port}/v1/models/{MODEL}"
    replicas = [pid for pid, line in family(cluster.process.pid) if f":{MODEL}" in line]
    assert replicas  # one, and those that just leave
    with ThreadPoolExecutor(1) as threads:
        request = threads.submit(httpx.post, url, content=solid(255, 255, 255), timeout=60)
        time.sleep(0.3)  # it takes about a second
        for pid in replicas:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        answer = request.result()
    assert answer.status_code == 503
    assert answer.json()["error"].startswith(f"no replica of {MODEL} answers")
    end_s = time.monotonic() + SCALE_S
    while httpx.post(url, content=GREY, timeout=60).status_code != 200:
        assert time.monotonic() < end_s
        time.sleep(0.5)


def test_nothing_is_left_when_it_has_ended(cluster: Cluster) -> None:
    """End the cluster; the last test."""
    members = family(cluster.process.pid)
    assert len(members) > len(GRAPHS)
    cluster.process.send_signal(signal.SIGTERM)
    assert cluster.process.wait(END_S) == 0
    end_s = time.monotonic() + END_S
    while left := [member for member in members if _command(member[0]) == member[1]]:
        assert time.monotonic() < end_s, left
        time.sleep(0.2)

"""Many jobs at once: none is lost or mixed up, and clients that vanish leave nothing behind."""

import gc
import os
import socket
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

from serve.jobs.jobs import Jobs, _Running
from serve.jobs.record import Answer, Record
from serve.jobs.store import _Entry
from serve.scheduling.job import Job
from serve.scheduling.ticket import Ticket
from serve.settings import Settings
from tests.serve.jobs.support import TIMEOUT_S, accepted, ended, submit
from tests.serve.support.server import running
from tests.support.artifacts import CLASSIFIER, EMBEDDING, write_artifact
from tests.support.images import png, solid
from tests.support.server_process import serving

FACE, EMBED = "/v1/models/face_emotion_xception", "/v1/models/image_embedding_mobilenetv2"
LOAD = 200  # jobs, and as many requests that wait for their answers
VANISHED = 1000
THREADS = 16
KEPT_KIB = (
    24 * 1024
)  # of the allocator and the logs, above the memory after the first jobs; leaked bodies take 48 MB
NOISE = png(np.random.default_rng(0).integers(0, 256, (90, 90, 3), np.uint8))  # 24 kB
KINDS = (Record, Answer, _Entry, _Running, Job, Ticket)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("artifacts")
    for graph in (CLASSIFIER, EMBEDDING):
        write_artifact(root, graph)
    return root


def test_under_load_no_answer_is_lost_or_mixed_up(root: Path) -> None:
    images = [solid(number + 1, 255 - number, (7 * number) % 251 + 1) for number in range(LOAD)]
    with running(Settings(artifacts=root, jobs=4096, queue_s=60)) as client:
        expected = [client.post(EMBED, content=image).content for image in images]
        assert len(set(expected)) == LOAD  # an answer tells which image it belongs to

        def at_once(number: int) -> bytes:
            response = client.post(EMBED, content=images[number])
            assert response.status_code == 200, response.text
            return response.content

        def later(number: int) -> bytes:
            job = ended(client, accepted(submit(client, EMBED, images[number])))
            response = client.get(job["result"])
            assert response.status_code == 200, response.text
            return response.content

        with ThreadPoolExecutor(THREADS) as threads:
            pairs = [(threads.submit(later, n), threads.submit(at_once, n)) for n in range(LOAD)]
            for number, (asynchronous, synchronous) in enumerate(pairs):
                assert synchronous.result(TIMEOUT_S) == expected[number]
                assert asynchronous.result(TIMEOUT_S) == expected[number]


def vanish(url: httpx.URL, number: int) -> None:
    """Send a request for a job; half of the clients leave at once, the others after 202."""
    head = (
        f"POST {FACE} HTTP/1.1\r\nHost: x\r\nPrefer: respond-async\r\n"
        f"Idempotency-Key: {number}\r\nContent-Length: {len(NOISE)}\r\n\r\n"
    )
    with socket.create_connection((url.host, url.port or 80), timeout=TIMEOUT_S) as connection:
        connection.sendall(head.encode() + NOISE)
        if number % 2:
            assert connection.recv(65536).startswith(b"HTTP/1.1 202 ")


def vanish_all(url: httpx.URL) -> None:
    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(lambda number: vanish(url, number), range(VANISHED)))


def eventually(condition: Callable[[], object], message: Callable[[], str]) -> None:
    end_s = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < end_s, message()
        time.sleep(0.05)


def objects() -> dict[str, int]:
    """Return how many objects of jobs there are, and tasks of jobs."""
    gc.collect()
    every = gc.get_objects()
    counts = {kind.__name__: sum(type(one) is kind for one in every) for kind in KINDS}
    return {name: count for name, count in counts.items() if count}


def all_jobs() -> list[Jobs]:
    """Return those of every server in this process; other tests may have one."""
    return [one for one in gc.get_objects() if type(one) is Jobs]


def test_jobs_whose_clients_vanish_leave_no_object_and_no_table_entry(root: Path) -> None:
    others, before = set(map(id, all_jobs())), Counter(objects())  # of servers of other tests
    with running(Settings(artifacts=root, jobs=4096, job_ttl_s=1)) as client:
        vanish_all(client.base_url)
        assert not Counter(objects()) <= before  # or the test would look at the wrong kinds
        (jobs,) = [one for one in all_jobs() if id(one) not in others]
        eventually(lambda: Counter(objects()) <= before, lambda: f"{objects()}, before {before}")
        eventually(lambda: not jobs.is_busy(), lambda: f"{len(jobs._unfetched)} ids are left")
        assert jobs.count == 0
        assert len(jobs.store) == 0  # type: ignore[arg-type]  # the one in memory
        assert jobs.store._keys == {}  # type: ignore[attr-defined]


def test_jobs_whose_clients_vanish_leave_no_memory_no_file_and_no_thread(
    root: Path, tmp_path: Path
) -> None:
    settings = {"SLIPWAY_JOBS": "4096", "SLIPWAY_JOB_TTL": "1", "SLIPWAY_LOG": "off"}
    with serving(SLIPWAY_ARTIFACTS=str(root), TMPDIR=str(tmp_path), **settings) as server:
        url, process = httpx.URL(server.url), Path(f"/proc/{server.process.pid}")

        def resources() -> tuple[int, int]:
            return len(os.listdir(process / "fd")), len(os.listdir(process / "task"))

        vanish_all(url)  # the first ones pay for threads and pools
        with httpx.Client(base_url=server.url, timeout=60) as client:
            client.get("/health")
        time.sleep(2)
        before, before_kib = resources(), memory_kib(process)
        for _ in range(2):
            vanish_all(url)
        eventually(lambda: resources() <= before, lambda: f"{before}, then {resources()}")
        eventually(
            lambda: memory_kib(process) < before_kib + KEPT_KIB,
            lambda: f"{before_kib} kB, then {memory_kib(process)}",
        )
        assert os.listdir(tmp_path) == []


def memory_kib(process: Path) -> int:
    """Return the resident memory of a process."""
    status = (process / "status").read_text(encoding="utf-8")
    return int(status.partition("VmRSS:")[2].split()[0])

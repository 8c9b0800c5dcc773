"""The number of worker processes, and how long idle ones live."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runtime.engine.cancellation import Cancellation
from runtime.errors import CancelledError, UnavailableError
from runtime.media.audio.decode import concatenate
from runtime.media.isolation.pool import IsolatedDecoders
from tests.runtime.support.processes import HOSTILE_JOBS, becomes_true, workers

RATE = 16_000


def decode(pool: IsolatedDecoders, data: bytes) -> int:
    return concatenate(pool.stream_audio(data, sampling_rate=RATE, max_seconds=30)).size


def test_there_are_never_more_workers_than_allowed(tmp_path: Path) -> None:
    before = len(workers())
    with IsolatedDecoders(jobs=HOSTILE_JOBS, workers=2) as pool, ThreadPoolExecutor(6) as threads:
        files = [b"drip"] * 4 + [f"killed_once {tmp_path / str(n)}".encode() for n in range(4)]
        futures = [threads.submit(decode, pool, data) for data in files]
        most = 0
        while not all(future.done() for future in futures):
            most = max(most, len(workers()) - before)
            time.sleep(0.01)
        assert [future.result() for future in futures] == [1600 + 20 * 160] * 4 + [3200] * 4
        assert most == 2


def test_a_request_waits_for_a_worker_for_a_bounded_time(tmp_path: Path) -> None:
    release = tmp_path / "release"
    with (
        IsolatedDecoders(jobs=HOSTILE_JOBS, workers=1, timeout_s=2) as pool,
        ThreadPoolExecutor(2) as threads,
    ):
        first = pool.stream_audio(f"wait_for {release}".encode(), sampling_rate=RATE, max_seconds=9)
        next(first)
        cancellation = Cancellation()
        cancelled = threads.submit(decode, pool.stopped_by(cancellation), b"echo")
        cancellation.cancel()
        with pytest.raises(CancelledError):
            cancelled.result(timeout=4)
        refused = threads.submit(decode, pool, b"echo")
        with pytest.raises(UnavailableError, match="1 decoder processes are at work, and no more"):
            refused.result()
        release.touch()
        assert sum(block.size for block in first) == 1600
        assert decode(pool, b"echo") == 3200


def test_idle_workers_end_and_are_replaced() -> None:
    before = workers()
    with IsolatedDecoders(jobs=HOSTILE_JOBS, idle_s=0.3) as pool:
        for _ in range(2):
            streams = [pool.stream_audio(b"echo", sampling_rate=RATE, max_seconds=9) for _ in "ab"]
            for blocks in streams:
                next(blocks)
            for blocks in streams:
                assert sum(block.size for block in blocks) == 1600
            assert len(workers()) > len(before)
            assert becomes_true(lambda: workers() == before)


def test_a_worker_that_is_used_again_and_again_stays_while_another_ends() -> None:
    before = set(workers())
    with IsolatedDecoders(jobs=HOSTILE_JOBS, idle_s=1.0) as pool:
        both = [pool.stream_audio(b"echo", sampling_rate=RATE, max_seconds=9) for _ in "ab"]
        for blocks in both:
            next(blocks)
        for blocks in both:
            assert sum(block.size for block in blocks) == 1600
        pids = set(workers()) - before
        while pids <= set(workers()):
            decode(pool, b"echo")
            time.sleep(0.05)
        served = set(workers()) - before
        assert len(served) == 1
        decode(pool, b"echo")
        assert set(workers()) - before == served


def test_a_worker_in_use_does_not_end_as_idle() -> None:
    with IsolatedDecoders(jobs=HOSTILE_JOBS, idle_s=0.2) as pool:
        decode(pool, b"echo")
        assert decode(pool, b"drip") == 1600 + 20 * 160  # a second


def test_the_oom_killer_takes_a_worker_before_the_server() -> None:
    before = set(workers())
    with IsolatedDecoders(jobs=HOSTILE_JOBS) as pool:
        decode(pool, b"echo")
        (worker,) = set(workers()) - before
        score = Path(f"/proc/{worker}/oom_score_adj")
        if not score.exists():
            pytest.skip("this system has no OOM killer")
        assert int(score.read_text(encoding="ascii")) == 1000


def test_an_idle_worker_keeps_neither_its_file_nor_free_memory() -> None:
    before = set(workers())
    with IsolatedDecoders(jobs=HOSTILE_JOBS) as pool:
        decode(pool, b"echo")
        (worker,) = set(workers()) - before
        idle_kib = resident_kib(worker)
        decode(pool, b"leave_holes " + bytes(64_000_000))
        assert becomes_true(lambda: resident_kib(worker) < idle_kib + 16_000)
        assert set(workers()) - before == {worker}


def resident_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1])

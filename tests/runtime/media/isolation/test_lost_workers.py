"""Workers that are killed from outside, do not start, or work for a client that left."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from runtime.arrays import Waveform
from runtime.engine.cancellation import Cancellation
from runtime.errors import CancelledError, UnavailableError
from runtime.media.audio.decode import concatenate, stream_audio
from runtime.media.isolation import process
from runtime.media.isolation.pool import IsolatedDecoders
from runtime.media.video.sample import VideoLimits, sample_frames
from tests.runtime.support.processes import HOSTILE_JOBS, becomes_true, workers
from tests.runtime.support.recordings import sound, tone
from tests.support.shared_data import DATA, needs_data

RATE = 16_000
LONG_S = 60  # of sound: more blocks than a socket holds, so its worker still runs after the first
STARTS_HANG = """
import pathlib, time
path = pathlib.Path({path!r})
path.open("a").write("started ")
while path.read_text().count("started") <= {times}:
    time.sleep(0.01)
from tests.runtime.support.hostile_jobs import JOBS
"""


@pytest.fixture(scope="module")
def long_sound() -> bytes:
    return sound(tone(seconds=LONG_S), kind="FLAC", subtype="PCM_16")


@pytest.fixture
def decoders() -> Iterator[IsolatedDecoders]:
    with IsolatedDecoders() as pool:
        yield pool


@pytest.fixture
def hostile() -> Iterator[IsolatedDecoders]:
    with IsolatedDecoders(jobs=HOSTILE_JOBS) as pool:
        yield pool


@pytest.fixture
def hang_at_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[int], IsolatedDecoders]:
    """Return a function that makes a pool whose first workers, so many, hang when they start."""

    def make(times: int) -> IsolatedDecoders:
        program = STARTS_HANG.format(path=str(tmp_path / "starts"), times=times)
        (tmp_path / "hanging_jobs.py").write_text(program, encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setattr(process, "START_TIMEOUT_S", 4)
        return IsolatedDecoders(jobs="hanging_jobs")

    return make


def stream(pool: IsolatedDecoders, data: bytes) -> Iterator[Waveform]:
    return pool.stream_audio(data, sampling_rate=RATE, max_seconds=2 * LONG_S)


def decode(pool: IsolatedDecoders, data: bytes) -> Waveform:
    return concatenate(stream(pool, data))


def new_worker(before: list[int]) -> int:
    """Return the worker that is there now and was not before."""
    assert becomes_true(lambda: len(workers()) > len(before))
    (worker,) = set(workers()) - set(before)
    return worker


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_sound_whose_worker_is_killed_goes_on_where_it_was(
    decoders: IsolatedDecoders, long_sound: bytes, number: signal.Signals
) -> None:
    before = workers()
    blocks = stream(decoders, long_sound)
    received = [next(blocks), next(blocks)]
    os.kill(new_worker(before), number)
    received += blocks
    expected = concatenate(stream_audio(long_sound, sampling_rate=RATE, max_seconds=2 * LONG_S))
    np.testing.assert_array_equal(np.concatenate(received), expected)
    assert len(workers()) == len(before) + 1


@needs_data
def test_a_clip_whose_worker_is_killed_is_decoded_by_another(decoders: IsolatedDecoders) -> None:
    data = (DATA / "video" / "mp_walking.mp4").read_bytes()
    before = workers()
    with ThreadPoolExecutor(1) as threads:
        sampled = threads.submit(
            decoders.sample_frames, data, count=4, steps=(), limits=VideoLimits()
        )
        killed = new_worker(before)
        maps = Path(f"/proc/{killed}/maps")
        assert becomes_true(lambda: "cv2" in maps.read_text("utf-8"))  # it begins to decode
        os.kill(killed, signal.SIGKILL)
        np.testing.assert_array_equal(sampled.result().frames, sample_frames(data, count=4).frames)
    assert new_worker(before) != killed


def test_a_file_whose_second_worker_is_killed_too_is_not_blamed(hostile: IsolatedDecoders) -> None:
    before = workers()
    with pytest.raises(UnavailableError, match="in two attempts: the decoder process ended by sig"):
        decode(hostile, b"killed")
    assert workers() == before
    assert decode(hostile, b"echo").size == 3200


def test_a_retry_has_the_whole_time_again(tmp_path: Path) -> None:
    mark = str(tmp_path / "mark").encode()
    with IsolatedDecoders(jobs=HOSTILE_JOBS, timeout_s=0.8) as pool:
        blocks = pool.stream_audio(b"drip_killed_once " + mark, sampling_rate=RATE, max_seconds=9)
        # twenty blocks, each 0.03 s after the one before; the first worker is killed after 0.5 s
        assert concatenate(blocks).size == 1600 + 20 * 160


def test_a_retry_ends_the_idle_workers(hostile: IsolatedDecoders, tmp_path: Path) -> None:
    before = workers()
    blocks = stream(hostile, b"echo"), stream(hostile, b"echo")
    for first in map(next, blocks):
        assert first.size == 1600
    idle = set(workers()) - set(before)
    assert [block.size for both in blocks for block in both] == [1600, 1600]
    decode(hostile, f"killed_once {tmp_path / 'killed'}".encode())
    assert new_worker(before) not in idle


def test_one_start_that_hangs_costs_little(
    hang_at_start: Callable[[int], IsolatedDecoders],
) -> None:
    before = workers()
    with hang_at_start(1) as pool:
        assert decode(pool, b"echo").size == 3200
        assert len(workers()) == len(before) + 1


def test_starts_that_hang_are_an_error_within_seconds(
    hang_at_start: Callable[[int], IsolatedDecoders],
) -> None:
    assert process.START_TIMEOUT_S <= 5
    before = workers()
    with (
        hang_at_start(9) as pool,
        pytest.raises(UnavailableError, match=r"a decoder process did not start within 4 s"),
    ):
        decode(pool, b"echo")
    assert workers() == before


def test_a_system_without_free_processes_is_an_error(
    decoders: IsolatedDecoders, long_sound: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(UnavailableError, match="no decoder process can be started"):
        decode(decoders, long_sound)


def cancel_soon(cancellation: Cancellation) -> threading.Timer:
    """Cancel in a moment, from another thread; return the thread."""
    timer = threading.Timer(0.3, cancellation.cancel)
    timer.start()
    return timer


@pytest.mark.parametrize("misbehaviour", [b"spin", b"hang_in_native_code", b"stop_within_message"])
def test_a_cancelled_request_ends_its_worker(
    hostile: IsolatedDecoders, misbehaviour: bytes
) -> None:
    before, cancellation = workers(), Cancellation()
    blocks = stream(hostile.stopped_by(cancellation), misbehaviour)
    next(blocks)  # the second never comes
    thread = cancel_soon(cancellation)
    with pytest.raises(CancelledError):
        next(blocks)
    thread.join()
    assert workers() == before
    assert decode(hostile, b"echo").size == 3200


def test_a_cancelled_request_ends_a_worker_that_starts(
    hang_at_start: Callable[[int], IsolatedDecoders], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, cancellation = workers(), Cancellation()
    with hang_at_start(9) as pool:
        monkeypatch.setattr(process, "START_TIMEOUT_S", 20)
        thread = cancel_soon(cancellation)
        begin = time.monotonic()
        with pytest.raises(CancelledError):
            decode(pool.stopped_by(cancellation), b"echo")
        assert time.monotonic() - begin < 10
        thread.join()
    assert workers() == before


def test_a_worker_ends_while_its_caller_is_busy(hostile: IsolatedDecoders) -> None:
    before, cancellation = workers(), Cancellation()
    blocks = stream(hostile.stopped_by(cancellation), b"echo")
    next(blocks)
    pid = new_worker(before)
    cancellation.cancel()
    assert becomes_true(lambda: "Z" in Path(f"/proc/{pid}/stat").read_text("utf-8").split()[2])
    with pytest.raises(CancelledError):
        list(blocks)
    assert workers() == before


def test_a_cancelled_request_starts_no_worker(hostile: IsolatedDecoders) -> None:
    before, cancellation = workers(), Cancellation()
    cancellation.cancel()
    with pytest.raises(CancelledError):
        decode(hostile.stopped_by(cancellation), b"echo")
    assert workers() == before


def test_a_cancelled_wav_is_not_decoded_further(decoders: IsolatedDecoders) -> None:
    cancellation = Cancellation()
    blocks = stream(decoders.stopped_by(cancellation), sound(tone(seconds=9), subtype="PCM_16"))
    next(blocks)
    cancellation.cancel()
    with pytest.raises(CancelledError):
        next(blocks)

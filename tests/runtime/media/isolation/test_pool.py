"""Decoders in worker processes: the same answers as in process, and what misbehaviour costs.

The jobs of `tests.runtime.support.hostile_jobs` do on purpose what a native decoder may do by
accident or under a client's control.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from runtime.artifact.steps import Resize, SampleFrames
from runtime.engine.cancellation import Cancellation
from runtime.errors import DecodeError, InputError, TooLargeError, UnavailableError
from runtime.media.audio.decode import concatenate, stream_audio
from runtime.media.isolation import pool as pools
from runtime.media.isolation.pool import IsolatedDecoders
from runtime.media.isolation.wire import Message, WireError, read_warnings
from runtime.media.video.sample import VideoLimits, sample_frames
from tests.runtime.support.processes import HOSTILE_JOBS, becomes_true, has_ended, workers
from tests.runtime.support.recordings import shades, sound, tone, video

RATE = 16_000


@pytest.fixture(scope="module")
def decoders() -> Iterator[IsolatedDecoders]:
    with IsolatedDecoders() as pool:
        yield pool


@pytest.fixture
def hostile() -> Iterator[IsolatedDecoders]:
    with IsolatedDecoders(jobs=HOSTILE_JOBS) as pool:
        yield pool


@pytest.fixture
def impatient() -> Iterator[IsolatedDecoders]:
    """Return a pool that gives a file half a second, for jobs that use up their time."""
    with IsolatedDecoders(jobs=HOSTILE_JOBS, timeout_s=0.5) as pool:
        yield pool


def decode(pool: IsolatedDecoders, data: bytes, *, max_seconds: float = 30) -> np.ndarray:
    return concatenate(pool.stream_audio(data, sampling_rate=RATE, max_seconds=max_seconds))


@pytest.mark.parametrize(
    ("kind", "subtype"), [("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")]
)
def test_sounds_equal_those_decoded_in_process(
    decoders: IsolatedDecoders, kind: str, subtype: str
) -> None:
    data = sound(tone(seconds=20, rate=44_100), rate=44_100, kind=kind, subtype=subtype)
    expected = concatenate(stream_audio(data, sampling_rate=RATE, max_seconds=30))
    np.testing.assert_array_equal(decode(decoders, data), expected)


def test_clips_equal_those_decoded_in_process(decoders: IsolatedDecoders, tmp_path: Path) -> None:
    data = video(shades(range(0, 200, 10)), tmp_path)
    steps = (SampleFrames(4), Resize("linear", height=8, width=8))
    sampled = decoders.sample_frames(data, count=4, steps=steps, limits=VideoLimits())
    expected = sample_frames(data, count=4, steps=steps)
    np.testing.assert_array_equal(sampled.frames, expected.frames)
    names = [name for name in type(sampled).__slots__ if name != "frames"]
    assert [getattr(sampled, n) for n in names] == [getattr(expected, n) for n in names]


def test_a_worker_has_room_until_its_file_is_decoded(tmp_path: Path) -> None:
    events: list[str] = []

    @contextmanager
    def room(cancellation: Cancellation, file_bytes: int) -> Iterator[None]:
        events.append(f"takes room for {file_bytes}")
        yield
        events.append("gives it back")

    clip, recording = (
        video(shades([50] * 10), tmp_path),
        sound(tone(), kind="FLAC", subtype="PCM_16"),
    )
    with IsolatedDecoders(clip_room=room, sound_room=room) as pool:
        steps = (SampleFrames(4), Resize("linear", height=8, width=8))
        pool.sample_frames(clip, count=4, steps=steps, limits=VideoLimits())
        assert events == [f"takes room for {len(clip)}", "gives it back"]
        blocks = pool.stream_audio(recording, sampling_rate=RATE, max_seconds=30)
        events.extend("a block" for _ in blocks)
    assert events[2] == f"takes room for {len(recording)}"
    assert {*events[3:-1]} == {"a block"}
    assert events[-1] == "gives it back"


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"OggS" + bytes(60), DecodeError, "the sound cannot be decoded"),
        (b"nothing", DecodeError, "the sound begins with bytes 6e 6f 74 68"),
        (sound(tone(seconds=2), kind="FLAC", subtype="PCM_16"), TooLargeError, "is 2.0 s long"),
        (sound(tone(seconds=0.01), kind="FLAC", subtype="PCM_16"), InputError, "is 0.010 s long"),
    ],
)
def test_refusals_keep_their_class_and_message(
    decoders: IsolatedDecoders, data: bytes, error: type[InputError], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        decode(decoders, data, max_seconds=1)
    assert type(caught.value) is error


def test_one_worker_serves_requests_that_follow_each_other(decoders: IsolatedDecoders) -> None:
    data = sound(tone(), kind="FLAC", subtype="PCM_16")
    decode(decoders, data)
    before = workers()
    decode(decoders, data)
    assert workers() == before


def test_uncompressed_wav_starts_no_worker() -> None:
    with IsolatedDecoders() as pool:
        before = workers()
        decode(pool, sound(tone(), subtype="PCM_16"))
        assert workers() == before


def test_systems_without_process_control_decode_in_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pools, "SUPPORTED", False)
    before = workers()
    with IsolatedDecoders() as pool:
        assert decode(pool, sound(tone(), kind="FLAC", subtype="PCM_16")).size == RATE
        clip = video(shades([0] * 5), tmp_path)
        sampled = pool.sample_frames(clip, count=2, steps=(), limits=VideoLimits())
    assert sampled.indices == (0, 4)
    assert workers() == before


def test_a_worker_that_does_not_start_is_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    before = workers()
    raises = pytest.raises(UnavailableError, match="starts: the decoder process ended by exit code")
    with IsolatedDecoders(jobs="tests.runtime.no_jobs") as pool, raises:
        decode(pool, b"echo")
    assert "No module named 'tests.runtime.no_jobs'" in capfd.readouterr().err
    assert workers() == before


@pytest.mark.parametrize(
    "misbehaviour", ["hang_in_native_code", "spin", "stop_within_message", "drip_within_message"]
)
def test_a_worker_that_hangs_is_killed(impatient: IsolatedDecoders, misbehaviour: str) -> None:
    before = workers()
    with pytest.raises(TooLargeError, match=r"longer to decode than is allowed: 0.5 s") as caught:
        decode(impatient, misbehaviour.encode())
    assert workers() == before
    assert caught.value.__cause__ is None
    assert decode(impatient, b"echo").size == 3200


def test_a_worker_that_does_not_read_is_killed(impatient: IsolatedDecoders) -> None:
    before = workers()
    assert decode(impatient, b"end_and_stop_reading").size == 1600
    with pytest.raises(TooLargeError, match="longer to decode"):
        decode(impatient, b"echo " + bytes(2**22))  # more than a socket buffers
    assert workers() == before


@pytest.mark.parametrize(
    ("misbehaviour", "cause"),
    [
        ("crash", "signal 11, SIGSEGV"),
        ("abort", "signal 6, SIGABRT"),
        ("exit_at_once", "exit code 3"),
        ("close_connection", "signal 9, SIGKILL"),  # the pool kills it
    ],
)
def test_a_worker_that_ends_is_replaced(
    hostile: IsolatedDecoders, misbehaviour: str, cause: str
) -> None:
    before = workers()
    with pytest.raises(DecodeError, match=f"the decoder process ended by {cause}"):
        decode(hostile, misbehaviour.encode())
    assert workers() == before
    assert decode(hostile, b"echo").size == 3200


def test_processes_that_a_worker_started_are_killed_with_it(
    impatient: IsolatedDecoders, tmp_path: Path
) -> None:
    pid_file = tmp_path / "pid"
    with pytest.raises(TooLargeError, match="longer to decode"):
        decode(impatient, f"start_process {pid_file}".encode())
    assert becomes_true(lambda: has_ended(int(pid_file.read_text(encoding="utf-8"))))


def test_memory_is_limited() -> None:
    with IsolatedDecoders(jobs=HOSTILE_JOBS, memory_bytes=200 * 2**20) as pool:
        with pytest.raises(TooLargeError, match="more memory than a decoder may have"):
            decode(pool, b"allocate")
        assert decode(pool, b"echo").size == 3200


@pytest.mark.parametrize(
    "reply", ["wrong_dtype", "wrong_shape", "objects", "too_long", "announce_too_much"]
)
def test_an_invalid_block_is_refused(hostile: IsolatedDecoders, reply: str) -> None:
    before = workers()
    with pytest.raises(DecodeError, match="the decoder process sent an invalid reply"):
        decode(hostile, reply.encode())
    assert workers() == before


def test_a_pickle_is_refused_and_not_loaded(hostile: IsolatedDecoders, tmp_path: Path) -> None:
    path = tmp_path / "created"
    with pytest.raises(DecodeError, match="the decoder process sent an invalid reply"):
        decode(hostile, f"send_pickle {path}".encode())
    assert not path.exists()


@pytest.mark.parametrize("reply", [b"invalid_fields", b"many_parts", b"no_parts"])
def test_an_invalid_clip_is_refused(hostile: IsolatedDecoders, reply: bytes) -> None:
    with pytest.raises(DecodeError, match="the decoder process sent an invalid reply"):
        hostile.sample_frames(reply, count=1, steps=(), limits=VideoLimits())


def test_a_library_that_prints_disturbs_neither_the_answer_nor_the_log(
    hostile: IsolatedDecoders, capfd: pytest.CaptureFixture[str]
) -> None:
    assert decode(hostile, b"print_much").size == 3200
    assert capfd.readouterr() == ("", "")


def test_a_worker_that_refused_a_file_is_used_again(hostile: IsolatedDecoders) -> None:
    decode(hostile, b"echo")
    before = workers()
    with pytest.raises(TooLargeError, match="as a decoder refuses"):
        decode(hostile, b"refuse")
    assert workers() == before


def test_a_bug_in_a_job_is_not_blamed_on_the_file(hostile: IsolatedDecoders) -> None:
    with pytest.raises(RuntimeError, match="ZeroDivisionError: a bug in the job"):
        decode(hostile, b"fail")


def test_a_caller_that_stops_early_leaves_no_worker(hostile: IsolatedDecoders) -> None:
    before = workers()
    blocks = hostile.stream_audio(b"echo", sampling_rate=RATE, max_seconds=30)
    next(blocks)
    assert len(workers()) == len(before) + 1
    blocks.close()  # type: ignore[attr-defined]  # it is a generator
    assert workers() == before


def test_the_time_limit_is_for_all_blocks_together(impatient: IsolatedDecoders) -> None:
    # twenty blocks of 0.01 s of sound, each 0.05 s after the one before
    with pytest.raises(TooLargeError, match="longer to decode"):
        decode(impatient, b"drip")


def test_a_long_sound_has_a_longer_time_limit(impatient: IsolatedDecoders) -> None:
    # twenty blocks of 1 s of sound, each 0.05 s after the one before, and each allows 0.1 s more
    assert decode(impatient, b"drip_seconds").size == 1600 + 20 * RATE


def test_the_callers_own_work_does_not_count(impatient: IsolatedDecoders) -> None:
    blocks = impatient.stream_audio(b"echo", sampling_rate=RATE, max_seconds=30)
    next(blocks)
    time.sleep(0.7)  # more than the worker may take
    assert next(blocks).size == 1600


def test_other_requests_run_while_one_hangs(hostile: IsolatedDecoders, tmp_path: Path) -> None:
    release = tmp_path / "release"
    with ThreadPoolExecutor(1) as threads:
        hanging = threads.submit(decode, hostile, f"wait_for {release}".encode())
        assert decode(hostile, b"echo").size == 3200
        assert not hanging.done()
        release.touch()
        assert hanging.result().size == 3200


def test_an_idle_worker_that_died_is_replaced(hostile: IsolatedDecoders) -> None:
    before = set(workers())
    decode(hostile, b"echo")
    (idle,) = set(workers()) - before
    os.kill(idle, signal.SIGKILL)
    assert becomes_true(lambda: has_ended(idle))
    assert decode(hostile, b"echo").size == 3200


def test_closing_the_pool_kills_its_workers() -> None:
    before = workers()
    with IsolatedDecoders(jobs=HOSTILE_JOBS) as pool:
        decode(pool, b"echo")
        assert len(workers()) == len(before) + 1
    assert workers() == before


KILLED_PARENT = """
import os, pathlib, signal, sys, threading, time
from runtime.media.isolation.pool import IsolatedDecoders

jobs, misbehaviour, path = sys.argv[1:]
pool = IsolatedDecoders(jobs=jobs, timeout_s=0.5, alarm_margin_s=0.2)
data = f"{misbehaviour} {path}".encode()
blocks = pool.stream_audio(data, sampling_rate=16000, max_seconds=30)
if misbehaviour == "spin_at_once":
    threading.Thread(target=next, args=(blocks,), daemon=True).start()
    while not pathlib.Path(path).exists():
        time.sleep(0.01)
else:
    next(blocks)
tasks = pathlib.Path("/proc/self/task").iterdir()  # a thread lists the children that it started
print(*[(task / "children").read_text() for task in tasks], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("misbehaviour", ["echo", "spin", "spin_at_once"])
def test_workers_end_when_their_parent_is_killed(tmp_path: Path, misbehaviour: str) -> None:
    arguments = (HOSTILE_JOBS, misbehaviour, str(tmp_path / "running"))
    run = subprocess.run(
        [sys.executable, "-c", KILLED_PARENT, *arguments],
        check=False,
        capture_output=True,
        text=True,
    )
    assert run.returncode == -signal.SIGKILL, run.stderr
    assert becomes_true(lambda: has_ended(int(run.stdout)))


def test_a_worker_has_no_secrets_and_few_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "of the server")
    before = set(workers())
    with IsolatedDecoders() as pool:
        decode(pool, sound(tone(), kind="FLAC", subtype="PCM_16"))
        (worker,) = set(workers()) - before
        assert b"SECRET" not in Path(f"/proc/{worker}/environ").read_bytes()
        libraries = Path(f"/proc/{worker}/maps").read_text(encoding="utf-8")
        assert "numpy" in libraries
        assert "onnxruntime" not in libraries
        assert "cv2" not in libraries


@pytest.mark.parametrize(
    "warnings",
    ["text", ["two\r\nlines"], ["nicht ascii: \xe4"], [7], ["x" * 301], ["one"] * 9, {"a": "b"}],
)
def test_warnings_that_could_forge_headers_or_logs_are_invalid(warnings: object) -> None:
    message = Message("part", {"warnings": warnings})
    with pytest.raises(WireError, match="warning"):
        read_warnings(message)


def test_valid_warnings_are_read() -> None:
    assert read_warnings(Message("part", {"warnings": ["the file is cut off"]})) == (
        "the file is cut off",
    )
    assert read_warnings(Message("part")) == ()

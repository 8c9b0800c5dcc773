"""Decoders in processes of their own: that they answer the same, and what happens when they do not.

The jobs of `hostile_jobs` do on purpose what a native decoder may do by accident.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from runtime.artifact.steps import Resize, SampleFrames
from runtime.errors import DecodeError, InputError, TooLargeError
from runtime.media.audio.decode import concatenate, stream_audio
from runtime.media.isolation import pool as pools
from runtime.media.isolation.child import DiedError
from runtime.media.isolation.pool import IsolatedDecoders
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
    """A pool whose workers have half a second: for jobs that use all of it."""
    with IsolatedDecoders(jobs=HOSTILE_JOBS, timeout_s=0.5) as pool:
        yield pool


def heard(pool: IsolatedDecoders, data: bytes, *, max_seconds: float = 30) -> np.ndarray:
    return concatenate(pool.stream_audio(data, sampling_rate=RATE, max_seconds=max_seconds))


@pytest.mark.parametrize(
    ("kind", "subtype"), [("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")]
)
def test_sounds_are_the_same_as_in_process(
    decoders: IsolatedDecoders, kind: str, subtype: str
) -> None:
    data = sound(tone(seconds=20, rate=44_100), rate=44_100, kind=kind, subtype=subtype)
    expected = concatenate(stream_audio(data, sampling_rate=RATE, max_seconds=30))
    np.testing.assert_array_equal(heard(decoders, data), expected)


def test_clips_are_the_same_as_in_process(decoders: IsolatedDecoders, tmp_path: Path) -> None:
    data = video(shades(range(0, 200, 10)), tmp_path)
    steps = (SampleFrames(4), Resize("linear", height=8, width=8))
    found = decoders.sample_frames(data, count=4, steps=steps, limits=VideoLimits())
    expected = sample_frames(data, count=4, steps=steps)
    np.testing.assert_array_equal(found.frames, expected.frames)
    names = [name for name in type(found).__slots__ if name != "frames"]
    assert [getattr(found, n) for n in names] == [getattr(expected, n) for n in names]


@pytest.mark.parametrize(
    ("data", "kind", "says"),
    [
        (b"OggS" + bytes(60), DecodeError, "the sound cannot be decoded"),
        (b"nothing", DecodeError, "the sound begins with bytes 6e 6f 74 68"),
        (sound(tone(seconds=2), kind="FLAC", subtype="PCM_16"), TooLargeError, "is 2.0 s long"),
        (sound(tone(seconds=0.01), kind="FLAC", subtype="PCM_16"), InputError, "is 0.010 s long"),
    ],
)
def test_refusals_come_back_as_they_are(
    decoders: IsolatedDecoders, data: bytes, kind: type[InputError], says: str
) -> None:
    with pytest.raises(InputError, match=says) as caught:
        heard(decoders, data, max_seconds=1)
    assert type(caught.value) is kind


def test_one_worker_serves_requests_that_follow_each_other(decoders: IsolatedDecoders) -> None:
    data = sound(tone(), kind="FLAC", subtype="PCM_16")
    heard(decoders, data)
    before = workers()
    heard(decoders, data)
    assert workers() == before


def test_plain_wav_starts_none() -> None:
    with IsolatedDecoders() as pool:
        before = workers()
        heard(pool, sound(tone(), subtype="PCM_16"))
        assert workers() == before


def test_where_there_are_no_such_processes_it_is_decoded_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pools, "SUPPORTED", False)
    before = workers()
    with IsolatedDecoders() as pool:
        assert heard(pool, sound(tone(), kind="FLAC", subtype="PCM_16")).size == RATE
        clip = video(shades([0] * 5), tmp_path)
        taken = pool.sample_frames(clip, count=2, steps=(), limits=VideoLimits())
    assert taken.indices == (0, 4)
    assert workers() == before


def test_worker_that_cannot_start_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    before = workers()
    said = pytest.raises(DiedError, match="its decoder ended by exit code 1")
    with IsolatedDecoders(jobs="tests.runtime.no_jobs") as pool, said:
        heard(pool, b"echo")
    assert "No module named 'tests.runtime.no_jobs'" in capfd.readouterr().err
    assert workers() == before


@pytest.mark.parametrize(
    "deed", ["hang_in_native_code", "spin", "stop_within_message", "drip_within_message"]
)
def test_a_worker_that_hangs_is_killed(impatient: IsolatedDecoders, deed: str) -> None:
    before = workers()
    with pytest.raises(TooLargeError, match=r"longer to decode than is allowed: 0.5 s") as caught:
        heard(impatient, deed.encode())
    assert workers() == before
    assert caught.value.__cause__ is None
    assert heard(impatient, b"echo").size == 3200


def test_a_worker_that_does_not_read_is_killed(impatient: IsolatedDecoders) -> None:
    before = workers()
    assert heard(impatient, b"end_and_stop_reading").size == 1600
    with pytest.raises(TooLargeError, match="longer to decode"):
        heard(impatient, b"echo " + bytes(2**22))  # more than a socket holds
    assert workers() == before


@pytest.mark.parametrize(
    ("deed", "says"),
    [
        ("crash", "its decoder ended by signal 11, SIGSEGV"),
        ("abort", "its decoder ended by signal 6, SIGABRT"),
        ("leave", "its decoder ended by exit code 3"),
        ("close", "its decoder ended by signal 9, SIGKILL"),  # it said nothing more, and was ended
    ],
)
def test_a_worker_that_crashes_is_replaced(hostile: IsolatedDecoders, deed: str, says: str) -> None:
    before = workers()
    with pytest.raises(DecodeError, match=says):
        heard(hostile, deed.encode())
    assert workers() == before
    assert heard(hostile, b"echo").size == 3200


def test_what_a_worker_started_ends_with_it(impatient: IsolatedDecoders, tmp_path: Path) -> None:
    told = tmp_path / "pid"
    with pytest.raises(TooLargeError, match="longer to decode"):
        heard(impatient, f"start_another {told}".encode())
    assert becomes_true(lambda: has_ended(int(told.read_text(encoding="utf-8"))))


def test_memory_is_bounded(tmp_path: Path) -> None:
    with IsolatedDecoders(jobs=HOSTILE_JOBS, memory_bytes=200 * 2**20) as pool:
        with pytest.raises(TooLargeError, match="more memory than a decoder may have"):
            heard(pool, b"hoard")
        assert heard(pool, b"echo").size == 3200


@pytest.mark.parametrize("name", ["dtype", "shape", "object", "much"])
def test_answers_are_not_trusted(hostile: IsolatedDecoders, name: str) -> None:
    before = workers()
    with pytest.raises(DecodeError, match="its decoder answered what it was not asked"):
        heard(hostile, name.encode())
    assert workers() == before


def test_answer_longer_than_is_allowed_is_not_read(hostile: IsolatedDecoders) -> None:
    before = workers()
    with pytest.raises(DecodeError, match="its decoder answered more bytes than are allowed"):
        heard(hostile, b"announce_too_much")
    assert workers() == before


def test_pickle_is_not_loaded(hostile: IsolatedDecoders, tmp_path: Path) -> None:
    made = tmp_path / "made"
    with pytest.raises(DecodeError, match="its decoder answered a head of"):
        heard(hostile, f"send_pickle {made}".encode())
    assert not made.exists()


@pytest.mark.parametrize("data", [b"facts", b"again", b"nothing"])
def test_clips_are_not_trusted(hostile: IsolatedDecoders, data: bytes) -> None:
    with pytest.raises(DecodeError, match="its decoder answered what it was not asked"):
        hostile.sample_frames(data, count=1, steps=(), limits=VideoLimits())


def test_what_libraries_print_is_no_answer(hostile: IsolatedDecoders) -> None:
    assert heard(hostile, b"print_much").size == 3200


def test_refusal_leaves_the_worker_as_it_is(hostile: IsolatedDecoders) -> None:
    heard(hostile, b"echo")
    before = workers()
    with pytest.raises(TooLargeError, match="as a decoder refuses"):
        heard(hostile, b"refuse")
    assert workers() == before


def test_fault_of_ours_is_no_fault_of_the_file(hostile: IsolatedDecoders) -> None:
    with pytest.raises(RuntimeError, match="ZeroDivisionError: a fault of ours"):
        heard(hostile, b"fail")


def test_reader_that_stops_half_way_leaves_none(hostile: IsolatedDecoders) -> None:
    before = workers()
    blocks = hostile.stream_audio(b"echo", sampling_rate=RATE, max_seconds=30)
    next(blocks)
    assert len(workers()) == len(before) + 1
    blocks.close()  # type: ignore[attr-defined]  # it is a generator
    assert workers() == before


def test_a_worker_that_is_slow_has_one_budget_for_all(impatient: IsolatedDecoders) -> None:
    with pytest.raises(TooLargeError, match="longer to decode"):
        heard(impatient, b"drip")


def test_long_sounds_have_longer(impatient: IsolatedDecoders) -> None:
    # twenty blocks of 1 s of sound, each 0.05 s after the last, and each worth 0.1 s more
    assert heard(impatient, b"drip_much").size == 1600 + 20 * RATE


def test_what_is_done_between_blocks_is_not_counted(impatient: IsolatedDecoders) -> None:
    blocks = impatient.stream_audio(b"echo", sampling_rate=RATE, max_seconds=30)
    next(blocks)
    time.sleep(0.7)  # more than the worker may take
    assert next(blocks).size == 1600


def test_others_go_on_beside_one_that_hangs(hostile: IsolatedDecoders, tmp_path: Path) -> None:
    release = tmp_path / "release"
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(heard, hostile, f"wait_for {release}".encode())
        assert heard(hostile, b"echo").size == 3200
        assert not waiting.done()
        release.touch()
        assert waiting.result().size == 3200


def test_worker_that_died_while_idle_is_replaced(hostile: IsolatedDecoders) -> None:
    before = set(workers())
    heard(hostile, b"echo")
    (idle,) = set(workers()) - before
    os.kill(idle, signal.SIGKILL)
    assert becomes_true(lambda: has_ended(idle))
    assert heard(hostile, b"echo").size == 3200


def test_closing_ends_all() -> None:
    before = workers()
    with IsolatedDecoders(jobs=HOSTILE_JOBS) as pool:
        heard(pool, b"echo")
        assert len(workers()) == len(before) + 1
    assert workers() == before


@pytest.mark.parametrize("deed", ["echo", "spin"])
def test_workers_do_not_outlive_a_parent_that_is_killed(deed: str) -> None:
    code = (
        "import os, signal, threading, time\n"
        "from runtime.media.isolation.pool import IsolatedDecoders\n"
        f"pool = IsolatedDecoders(jobs={HOSTILE_JOBS!r}, timeout_s=0.5, alarm_margin_s=0.2)\n"
        f"blocks = pool.stream_audio({deed.encode()!r}, sampling_rate=16000, max_seconds=30)\n"
        "next(blocks)\n"
        "children = open(f'/proc/self/task/{os.getpid()}/children').read()\n"
        "print(children, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    (worker,) = done.stdout.split()
    assert becomes_true(lambda: has_ended(int(worker)))


def test_worker_gets_no_secrets_and_no_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "of the server")
    before = set(workers())
    with IsolatedDecoders() as pool:
        heard(pool, sound(tone(), kind="FLAC", subtype="PCM_16"))
        (worker,) = set(workers()) - before
        assert b"SECRET" not in Path(f"/proc/{worker}/environ").read_bytes()
        mapped = Path(f"/proc/{worker}/maps").read_text(encoding="utf-8")
        assert "numpy" in mapped
        assert "onnxruntime" not in mapped
        assert "cv2" not in mapped

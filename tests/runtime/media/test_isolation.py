"""Decoders in processes of their own: that they answer the same, and what happens when they do not.

The jobs of `hostile_jobs` do on purpose what a native decoder may do by accident.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from runtime.artifact.steps import Resize, SampleFrames
from runtime.errors import DecodeError, InputError, TooLargeError
from runtime.media.audio.decode import joined, stream_audio
from runtime.media.isolation import pool as pools
from runtime.media.isolation.child import DiedError
from runtime.media.isolation.pool import IsolatedDecoders
from runtime.media.video.sample import Limits, sample_frames
from tests.runtime.support.recordings import shades, sound, tone, video

RATE = 16_000
HOSTILE = "tests.runtime.support.hostile_jobs"


@pytest.fixture(scope="module")
def decoders() -> Iterator[IsolatedDecoders]:
    with IsolatedDecoders() as pool:
        yield pool


@pytest.fixture
def hostile() -> Iterator[IsolatedDecoders]:
    with IsolatedDecoders(jobs=HOSTILE, timeout_s=1) as pool:
        yield pool


def heard(pool: IsolatedDecoders, data: bytes, *, max_seconds: float = 30) -> np.ndarray:
    return joined(pool.stream_audio(data, sampling_rate=RATE, max_seconds=max_seconds))


def workers(parent: int = 0) -> list[int]:
    """The children of a process, this one for 0, that are workers, zombies among them."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it may end meanwhile
            state, ppid = (entry / "stat").read_text("utf-8").rpartition(")")[2].split()[:2]
            if int(ppid) == (parent or os.getpid()):
                isolated = b"isolation" in (entry / "cmdline").read_bytes()
                found += [int(entry.name)] if isolated or state == "Z" else []
    return sorted(found)


def eventually(holds: Callable[[], bool]) -> bool:
    for _ in range(200):
        if holds():
            return True
        time.sleep(0.02)
    return False


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # nobody in a bare container reaps orphans
    return "Z" in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2]


@pytest.mark.parametrize(
    ("kind", "subtype"), [("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")]
)
def test_sounds_are_the_same_as_in_process(
    decoders: IsolatedDecoders, kind: str, subtype: str
) -> None:
    data = sound(tone(seconds=20, rate=44_100), rate=44_100, kind=kind, subtype=subtype)
    expected = joined(stream_audio(data, sampling_rate=RATE, max_seconds=30))
    np.testing.assert_array_equal(heard(decoders, data), expected)


def test_clips_are_the_same_as_in_process(decoders: IsolatedDecoders, tmp_path: Path) -> None:
    data = video(shades(range(0, 200, 10)), tmp_path)
    steps = (SampleFrames(4), Resize("linear", height=8, width=8))
    found = decoders.sample_frames(data, count=4, steps=steps, limits=Limits())
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
        taken = pool.sample_frames(clip, count=2, steps=(), limits=Limits())
    assert taken.indices == (0, 4)
    assert workers() == before


def test_worker_that_cannot_start_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    before = workers()
    said = pytest.raises(DiedError, match="its decoder ended by exit code 1")
    with IsolatedDecoders(jobs="tests.runtime.no_jobs") as pool, said:
        heard(pool, b"echo")
    assert "No module named 'tests.runtime.no_jobs'" in capfd.readouterr().err
    assert workers() == before


@pytest.mark.parametrize("deed", ["hang_in_native_code", "spin"])
def test_a_worker_that_hangs_is_killed(hostile: IsolatedDecoders, deed: str) -> None:
    before = workers()
    begin = time.monotonic()
    with pytest.raises(TooLargeError, match=r"longer to decode than is allowed: 1 s") as caught:
        heard(hostile, deed.encode())
    assert time.monotonic() - begin < 10
    assert workers() == before
    assert caught.value.__cause__ is None
    assert heard(hostile, b"echo").size == 3200


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


def test_what_a_worker_started_ends_with_it(hostile: IsolatedDecoders, tmp_path: Path) -> None:
    told = tmp_path / "pid"
    with pytest.raises(TooLargeError, match="longer to decode"):
        heard(hostile, f"start_another {told}".encode())
    assert eventually(lambda: gone(int(told.read_text(encoding="utf-8"))))


def test_memory_is_bounded(tmp_path: Path) -> None:
    with IsolatedDecoders(jobs=HOSTILE, memory_bytes=200 * 2**20) as pool:
        with pytest.raises(TooLargeError, match="more memory than a decoder may have"):
            heard(pool, b"hoard")
        assert heard(pool, b"echo").size == 3200


@pytest.mark.parametrize("name", ["dtype", "shape", "object", "much"])
def test_answers_are_not_trusted(hostile: IsolatedDecoders, name: str) -> None:
    before = workers()
    with pytest.raises(DecodeError, match="its decoder answered what it was not asked"):
        heard(hostile, name.encode())
    assert workers() == before


@pytest.mark.parametrize("data", [b"facts", b"again", b"nothing"])
def test_clips_are_not_trusted(hostile: IsolatedDecoders, data: bytes) -> None:
    with pytest.raises(DecodeError, match="its decoder answered what it was not asked"):
        hostile.sample_frames(data, count=1, steps=(), limits=Limits())


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


def test_a_worker_that_is_slow_has_one_budget_for_all(hostile: IsolatedDecoders) -> None:
    with pytest.raises(TooLargeError, match="longer to decode"):
        heard(hostile, b"drip")


def test_long_sounds_have_longer() -> None:
    with IsolatedDecoders(jobs=HOSTILE, timeout_s=1) as pool:
        # twenty blocks of 1 s, each 0.1 s later than the last: 0.1 s more for each
        assert heard(pool, b"drip_much").size == 1600 + 20 * RATE


def test_what_is_done_between_blocks_is_not_counted(hostile: IsolatedDecoders) -> None:
    blocks = hostile.stream_audio(b"echo", sampling_rate=RATE, max_seconds=30)
    next(blocks)
    time.sleep(1.3)
    assert next(blocks).size == 1600


def test_others_go_on_beside_one_that_hangs() -> None:
    with IsolatedDecoders(jobs=HOSTILE, timeout_s=2) as pool:
        refusals: list[str] = []

        def stuck() -> None:
            try:
                heard(pool, b"spin")
            except TooLargeError as error:
                refusals.append(str(error))

        thread = threading.Thread(target=stuck)
        thread.start()
        assert heard(pool, b"echo").size == 3200
        assert not refusals
        thread.join()
        assert len(refusals) == 1


def test_worker_that_died_while_idle_is_replaced(hostile: IsolatedDecoders) -> None:
    before = set(workers())
    heard(hostile, b"echo")
    (idle,) = set(workers()) - before
    os.kill(idle, signal.SIGKILL)
    assert eventually(lambda: gone(idle))
    assert heard(hostile, b"echo").size == 3200


def test_closing_ends_all() -> None:
    before = workers()
    with IsolatedDecoders(jobs=HOSTILE) as pool:
        heard(pool, b"echo")
        assert len(workers()) == len(before) + 1
    assert workers() == before


@pytest.mark.parametrize("deed", ["echo", "spin"])
def test_workers_do_not_outlive_a_parent_that_is_killed(deed: str) -> None:
    code = (
        "import os, signal, threading, time\n"
        "from runtime.media.isolation import pool as pools\n"
        "pools._ALARM_MARGIN_S = 0.5\n"
        f"pool = pools.IsolatedDecoders(jobs={HOSTILE!r}, timeout_s=1)\n"
        f"blocks = pool.stream_audio({deed.encode()!r}, sampling_rate=16000, max_seconds=30)\n"
        "next(blocks)\n"
        "children = open(f'/proc/self/task/{os.getpid()}/children').read()\n"
        "print(children, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    (worker,) = done.stdout.split()
    assert eventually(lambda: gone(int(worker)))


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

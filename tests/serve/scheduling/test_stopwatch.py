"""The stages of a request, with a clock of the test's own."""

import re

import pytest

from serve.scheduling.stopwatch import Stopwatch


class Clock:
    """Seconds that the test sets."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def stages(stopwatch: Stopwatch) -> dict[str, float]:
    pairs = re.findall(r"([a-z]+);dur=([0-9.]+)", stopwatch.header())
    return {name: float(milliseconds) for name, milliseconds in pairs}


def test_a_turn_is_decoding_runs_and_encoding() -> None:
    clock = Clock()
    stopwatch = Stopwatch(clock)
    clock.now_s += 1.0
    stopwatch.start()
    for _ in range(2):
        clock.now_s += 0.010  # the second time: between two runs
        with stopwatch.running():
            clock.now_s += 0.100
    clock.now_s += 0.003
    stopwatch.stop()
    assert stages(stopwatch) == {"queue": 1000, "decode": 20, "run": 200, "encode": 3}


def test_a_turn_without_a_run_is_decoding() -> None:
    clock = Clock()
    stopwatch = Stopwatch(clock)
    stopwatch.start()
    clock.now_s += 0.5
    stopwatch.stop()
    assert stages(stopwatch) == {"queue": 0, "decode": 500, "run": 0, "encode": 0}


def test_between_reading_a_file_and_a_run_is_preprocessing() -> None:
    clock = Clock()
    stopwatch = Stopwatch(clock)
    stopwatch.start()
    clock.now_s += 0.001  # the form
    with stopwatch.decoding():
        clock.now_s += 0.020
    clock.now_s += 0.005
    with stopwatch.running():
        clock.now_s += 0.100
    clock.now_s += 0.003
    stopwatch.stop()
    milliseconds = {name: round(1000 * s, 6) for name, s in stopwatch.stages_s.items()}
    assert milliseconds == {
        "queue": 0, "decode": 21, "preprocess": 5, "run": 100, "postprocess": 3
    }  # fmt: skip
    assert stages(stopwatch) == {"queue": 0, "decode": 26, "run": 100, "encode": 3}
    assert stopwatch.turns_s == pytest.approx(0.129)


def test_the_wait_for_a_slot_is_waiting_and_keeps_the_thread() -> None:
    clock = Clock()
    stopwatch = Stopwatch(clock)
    clock.now_s += 1.0
    stopwatch.start()
    clock.now_s += 0.010
    stopwatch.wait()
    clock.now_s += 2.0
    stopwatch.ready()
    with stopwatch.running():
        clock.now_s += 0.100
    stopwatch.stop()
    assert stages(stopwatch) == {"queue": 3000, "decode": 10, "run": 100, "encode": 0}
    assert stopwatch.turns_s == pytest.approx(2.110)


def test_of_a_shared_run_a_request_owns_its_share() -> None:
    clock = Clock()
    stopwatch = Stopwatch(clock)
    stopwatch.start()
    clock.now_s += 0.010
    stopwatch.wait()
    clock.now_s += 0.600  # 0.3 s until the run, 0.1 s of it, 0.2 s until a slot is free again
    stopwatch.share(0.1, 0.25)
    clock.now_s += 0.020
    stopwatch.stop()
    assert stages(stopwatch) == {"queue": 500, "decode": 10, "run": 100, "encode": 20}
    assert stopwatch.turns_s == pytest.approx(0.630)
    assert stopwatch.own_s == pytest.approx(0.010 + 0.025 + 0.020)

"""The estimate of how long a request takes."""

import pytest

from serve.scheduling.service_times import DEFAULT_S, ServiceTimes


def test_work_that_was_never_timed_has_a_default() -> None:
    assert ServiceTimes().expected_s("new") == DEFAULT_S


def test_the_first_time_replaces_the_default_and_the_next_are_a_mean() -> None:
    times = ServiceTimes()
    times.observe("face", 0.004)
    assert times.expected_s("face") == pytest.approx(0.004)
    times.observe("face", 0.008)
    assert times.expected_s("face") == pytest.approx(0.006)
    assert times.expected_s("another") == DEFAULT_S


def test_one_pause_of_the_machine_counts_as_four_times_the_mean() -> None:
    times = ServiceTimes()
    for _ in range(20):
        times.observe("face", 0.010)
    times.observe("face", 30.0)
    assert times.expected_s("face") == pytest.approx(0.010 + 0.030 / 8)


def test_a_lasting_change_is_followed() -> None:
    times = ServiceTimes()
    for _ in range(100):
        times.observe("face", 0.010)
    for _ in range(30):
        times.observe("face", 1.0)
    assert times.expected_s("face") == pytest.approx(1.0, rel=0.1)


def test_the_first_run_of_a_model_holds_until_something_was_timed() -> None:
    times = ServiceTimes()
    assert times.expected_s("face", lambda: 0.5) == 0.5
    times.observe("face", 0.1)
    assert times.expected_s("face", lambda: 0.5) == pytest.approx(0.1)

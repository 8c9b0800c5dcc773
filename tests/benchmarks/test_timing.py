import time

import pytest

from benchmarks.timing import Effort, interleaved, summarize

BRIEF = Effort(seconds=0.0, minimum_rounds=4, maximum_rounds=6, warm_up_rounds=1, process_starts=1)


def test_summary_is_median_and_95th_percentile() -> None:
    summary = summarize([float(i) for i in range(100, 0, -1)])
    assert summary.minimum_ms == 1.0
    assert (summary.p25_ms, summary.p75_ms) == (25.75, 75.25)
    assert summary.median_ms == pytest.approx(50.5, abs=1e-9)
    assert summary.p95_ms == pytest.approx(95.05, abs=1e-9)
    assert summary.runs == 100


def test_runs_take_turns_in_alternating_order_after_a_warm_up() -> None:
    calls: list[tuple[str, int]] = []
    interleaved([lambda n: calls.append(("a", n)), lambda n: calls.append(("b", n))], BRIEF)
    warm_up, rounds = calls[:2], calls[2:]
    assert warm_up == [("a", 0), ("b", 0)]
    assert "".join(name for name, _ in rounds) == "abbaabba"
    assert [number for _, number in rounds] == [0, 0, 1, 1, 2, 2, 3, 3]


def test_a_spent_budget_stops_after_the_minimum_and_an_unspent_one_at_the_maximum() -> None:
    unspent = Effort(60.0, 4, 6, warm_up_rounds=0, process_starts=1)
    assert [summary.runs for summary in interleaved([lambda _: None] * 2, BRIEF)] == [4, 4]
    assert [summary.runs for summary in interleaved([lambda _: None] * 2, unspent)] == [6, 6]


def test_durations_are_milliseconds_and_belong_to_their_run() -> None:
    nothing, pause = interleaved([lambda _: None, lambda _: time.sleep(0.02)], BRIEF)
    assert pause.median_ms >= 20  # it slept 20 ms at least
    assert nothing.median_ms < pause.median_ms

"""Time functions in turns, so that the noise of the machine is the same for all of them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Run = Callable[[int], object]  # takes the number of the round, to choose a sample by


@dataclass(frozen=True, slots=True)
class Effort:
    """Number and duration of the runs of a measurement."""

    seconds: float  # for all rounds of functions that are compared; after `minimum_rounds`
    minimum_rounds: int
    maximum_rounds: int
    warm_up_rounds: int
    process_starts: int  # repetitions of what needs a fresh process


FULL = Effort(
    seconds=8.0, minimum_rounds=15, maximum_rounds=500, warm_up_rounds=3, process_starts=5
)
QUICK = Effort(seconds=1.0, minimum_rounds=5, maximum_rounds=50, warm_up_rounds=1, process_starts=1)


@dataclass(frozen=True, slots=True)
class Summary:
    """Percentiles of durations, linear between the two nearest."""

    minimum_ms: float
    p25_ms: float
    median_ms: float
    p75_ms: float
    p95_ms: float  # of few runs close to the slowest
    runs: int


def interleaved(runs: Sequence[Run], effort: Effort) -> list[Summary]:
    """Time each function once per round, in reverse order in every second round.

    So a drift of the machine affects all alike, and no function always follows the same other one.

    Args:
        runs: the functions to compare, at least one; warm-up rounds come first and do not count.
        effort: number and duration of the rounds.

    Returns:
        One summary per function, in the order of `runs`.
    """
    for number in range(effort.warm_up_rounds):
        for run in runs:
            run(number)
    samples: list[list[float]] = [[] for _ in runs]
    pairs = list(zip(runs, samples, strict=True))
    start = time.perf_counter()
    for number in range(effort.maximum_rounds):
        if number >= effort.minimum_rounds and time.perf_counter() - start > effort.seconds:
            break
        for run, durations in pairs if number % 2 == 0 else reversed(pairs):
            durations.append(_milliseconds(run, number))
    return [summarize(durations) for durations in samples]


def summarize(milliseconds: Sequence[float]) -> Summary:
    """Return the percentiles of durations in ms, at least one."""
    shares = (0, 25, 50, 75, 95)
    low, p25, median, p75, p95 = (float(ms) for ms in np.percentile(milliseconds, shares))
    return Summary(low, p25, median, p75, p95, len(milliseconds))


def _milliseconds(run: Run, number: int) -> float:
    before = time.perf_counter()
    run(number)
    return (time.perf_counter() - before) * 1000

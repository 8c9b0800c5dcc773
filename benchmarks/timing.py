"""Times of callables against each other, in turns: a noisy machine is noisy for all of them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Run = Callable[[int], object]  # takes the round, so that each may choose the sample of that round


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure."""

    seconds: float  # of one group of runs that are compared; at least `minimum_rounds` all the same
    minimum_rounds: int
    maximum_rounds: int
    warm_up_rounds: int
    process_starts: int  # whatever needs a new process is done so often


FULL = Effort(
    seconds=12.0, minimum_rounds=20, maximum_rounds=500, warm_up_rounds=3, process_starts=5
)
QUICK = Effort(seconds=1.0, minimum_rounds=5, maximum_rounds=50, warm_up_rounds=1, process_starts=1)


@dataclass(frozen=True, slots=True)
class Summary:
    """A sample of durations."""

    median_ms: float
    p95_ms: float  # linear between the two nearest; of few runs it is close to the slowest
    runs: int


def interleaved(runs: Sequence[Run], effort: Effort) -> list[Summary]:
    """Time each run once per round, the order reversed in every second round.

    So a drift of the machine meets all alike, and none always follows the same neighbour.

    Args:
        runs: what to compare; at least one. A warm-up, not counted, comes first.
        effort: when to stop.

    Returns:
        One summary per run, in the order given.
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
        for run, taken in pairs if number % 2 == 0 else reversed(pairs):
            taken.append(_milliseconds(run, number))
    return [summarize(taken) for taken in samples]


def summarize(milliseconds: Sequence[float]) -> Summary:
    """Median and 95th percentile of at least one duration in ms."""
    median, p95 = np.percentile(milliseconds, (50, 95))
    return Summary(float(median), float(p95), len(milliseconds))


def _milliseconds(run: Run, number: int) -> float:
    before = time.perf_counter()
    run(number)
    return (time.perf_counter() - before) * 1000

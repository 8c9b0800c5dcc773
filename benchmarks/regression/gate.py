"""The gate: measure, repeat what looks slower, judge."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.regression.passes import IMPORT, Pair, Sides, time_cases
from benchmarks.regression.thresholds import Clock, Thresholds
from benchmarks.regression.verdict import ExactVerdict, TimeVerdict, undecided
from benchmarks.regression.workload import Workload, names_of


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that was measured."""

    times: tuple[TimeVerdict, ...]
    exact: tuple[ExactVerdict, ...] = ()
    other_clock: dict[str, float] = field(default_factory=dict)  # first ratios by the other clock

    @property
    def alarms(self) -> tuple[str, ...]:
        """Return the cases in which the head is slower or larger."""
        slower = (time.case for time in self.times if time.is_slower)
        return (*slower, *(size.case for size in self.exact if size.is_larger))


def all_cases(workload: Workload) -> list[str]:
    """Return the names of everything that is timed."""
    return [*names_of(workload), IMPORT]


def judge_times(
    sides: Sides, workload: Workload, thresholds: Thresholds, cases: Sequence[str]
) -> Outcome:
    """Time cases once; those in doubt again, until the median of the repeats decides.

    Raises:
        BenchmarkError: a process of a side fails.
    """
    timing = thresholds.time
    measured: dict[str, list[Pair]] = {case: [] for case in cases}
    todo: Sequence[str] = cases
    while todo:
        for case, pair in time_cases(sides, workload, todo, timing).items():
            measured[case].append(pair)
        verdicts = [_verdict(case, pairs, thresholds) for case, pairs in measured.items()]
        todo = undecided(verdicts, timing.doubt, timing.repeats)
    other: Clock = "wall" if timing.clock == "cpu" else "cpu"
    firsts = {case: pairs[0].ratio(other) for case, pairs in measured.items()}
    return Outcome(tuple(verdicts), other_clock=firsts)


def _verdict(case: str, pairs: Sequence[Pair], thresholds: Thresholds) -> TimeVerdict:
    clock = thresholds.time.clock
    return TimeVerdict(
        case,
        base_us=min(pair.base.by(clock) for pair in pairs) / 1000,
        head_us=min(pair.head.by(clock) for pair in pairs) / 1000,
        ratios=tuple(pair.ratio(clock) for pair in pairs),
        limit=thresholds.ratio_of(case),
    )

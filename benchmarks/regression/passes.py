"""Time both sides in turns: process by process, and block of runs by block of runs."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace

from benchmarks.regression.checkout import Checkout
from benchmarks.regression.subjects import Durations, HttpServer, Imports, Subject, Worker
from benchmarks.regression.thresholds import Clock, Timing
from benchmarks.regression.workload import Workload

BLOCK_RUNS = 10  # of one side, before the other has its turn
TRIAL_RUNS = 5  # of which the number of calls in a run follows
MOST_LOOPS = 1000
IMPORT = "import of runtime and serve"
BASE, HEAD = 0, 1

Start = Callable[[Checkout], Subject]


@dataclass(slots=True)
class Least:
    """The least durations of one side of one case, in nanoseconds of one call."""

    wall: float = float("inf")
    cpu: float = float("inf")
    runs: int = 0

    def add(self, durations: Durations, loops: int) -> None:
        """Count runs of `loops` calls."""
        self.wall = min(self.wall, *(wall / loops for wall, _ in durations))
        self.cpu = min(self.cpu, *(cpu / loops for _, cpu in durations))
        self.runs += len(durations)

    def by(self, clock: Clock) -> float:
        """Return the least of one clock."""
        return self.cpu if clock == "cpu" else self.wall


@dataclass(frozen=True, slots=True)
class Pair:
    """Both sides of a case."""

    base: Least = field(default_factory=Least)
    head: Least = field(default_factory=Least)

    def ratio(self, clock: Clock) -> float:
        """Return head divided by base."""
        return self.head.by(clock) / self.base.by(clock)


@dataclass(frozen=True, slots=True)
class Sides:
    """The two checkouts."""

    base: Checkout
    head: Checkout

    @property
    def both(self) -> tuple[Checkout, Checkout]:
        """Return base and head."""
        return (self.base, self.head)


def time_cases(
    sides: Sides, workload: Workload, cases: Sequence[str], timing: Timing
) -> dict[str, Pair]:
    """Return the least durations of some cases.

    Args:
        sides: base and head.
        workload: what is timed.
        cases: names of stages, of requests, and IMPORT; others are ignored.
        timing: how often.

    Raises:
        BenchmarkError: a process of a side fails.
    """
    stages = {stage.name for stage in workload.stages}
    requests = {request.name for request in workload.requests}
    over_http_timing = replace(timing, run_ms=timing.http_run_ms)
    in_process = [case for case in cases if case in stages]
    over_http = [case for case in cases if case in requests]
    pairs = {
        **_in_turns(sides, lambda side: Worker(side, workload), in_process, timing),
        **_in_turns(sides, lambda side: HttpServer(side, workload), over_http, over_http_timing),
    }
    if IMPORT in cases:
        pairs[IMPORT] = _imports(sides, timing)
    return pairs


def _in_turns(
    sides: Sides, start: Start, cases: Sequence[str], timing: Timing
) -> Mapping[str, Pair]:
    """Time cases in several processes of each side; two are alive, and one works at a time."""
    pairs = {case: Pair() for case in cases}
    loops: dict[str, int] = {}
    for number in range(timing.starts if cases else 0):
        with ExitStack() as stack:
            # the side that starts first, and so has its memory laid out first, changes
            order = (BASE, HEAD) if number % 2 == 0 else (HEAD, BASE)
            subjects = {
                side: stack.enter_context(closing(start(sides.both[side]))) for side in order
            }
            if not loops:
                loops = {case: calls_in(subjects[BASE], case, timing.run_ms) for case in cases}
            for case, block in _blocks(cases, -(-timing.runs // timing.starts)):
                for side in order if block % 2 == 0 else reversed(order):
                    runs = subjects[side].measure(case, BLOCK_RUNS, loops[case])
                    least = pairs[case].base if side == BASE else pairs[case].head
                    least.add(runs, loops[case])
    return pairs


def _blocks(cases: Iterable[str], runs: int) -> Iterator[tuple[str, int]]:
    """Return each case with the numbers of its blocks, block by block."""
    for block in range(-(-runs // BLOCK_RUNS)):
        for case in cases:
            yield case, block


def calls_in(subject: Subject, case: str, run_ms: float) -> int:
    """Return how many calls take about `run_ms`; warms the case up."""
    subject.measure(case, TRIAL_RUNS, 1)
    one_ns = min(wall for wall, _ in subject.measure(case, TRIAL_RUNS, 1))
    return max(1, min(MOST_LOOPS, round(run_ms * 1e6 / one_ns)))


def _imports(sides: Sides, timing: Timing) -> Pair:
    pair = Pair()
    base, head = (Imports(side) for side in sides.both)
    turns = [(base, pair.base), (head, pair.head)]
    for number in range(timing.import_runs):
        for subject, least in turns if number % 2 == 0 else reversed(turns):
            least.add(subject.measure(IMPORT, 1, 1), 1)
    return pair

"""The limits of `make bench`, and the HTTP turns."""

import pytest

from benchmarks.footprint import Imports
from benchmarks.server import Memory, ServerReport
from benchmarks.serving.bare_loop import Work
from benchmarks.serving.load import Load
from benchmarks.suite.http import Turn, summarize_turns
from benchmarks.suite.measure import compare

MEMORY = Memory(resident_mb=200.0, peak_mb=300.0)


def server(*, ready_s: float = 1.0, resident_mb: float = 200.0) -> ServerReport:
    used = Memory(resident_mb, 300.0)
    return ServerReport(("a",), 0.5, ready_s, MEMORY, used, MEMORY, 2)


def test_limits_are_inclusive() -> None:
    imports = Imports(0.3, ())
    checks = compare(imports, {"a": 330.0}, server(ready_s=2.0, resident_mb=260.0))
    assert all(check.passed for check in checks)
    assert [check.value for check in checks] == [0, 330.0, 0.5, 2.0, 260.0]


def test_each_limit_can_fail() -> None:
    slow = ServerReport(("a",), 1.01, 2.01, MEMORY, Memory(260.1, 300.0), MEMORY, 2)
    checks = compare(Imports(9.0, ("torch",)), {"numpy": 331.0}, slow)
    assert [check.passed for check in checks] == [False] * 5


def turn(requests: int, *, cpu_ms: float, bare: int | None) -> Turn:
    work = None if bare is None else Work(bare, 1.0, 0.01 * bare)  # 10 ms of CPU time each
    return Turn(Load(requests, 1.0, 1.0, 2.0, 3.0), cpu_ms, work)


def test_ratios_are_medians_of_turns_and_the_range_is_told() -> None:
    turns = [turn(90, cpu_ms=11.0, bare=100), turn(40, cpu_ms=19.0, bare=100),
             turn(97, cpu_ms=12.0, bare=100)]  # fmt: skip
    one = summarize_turns("m", 7, 8, turns)
    assert one.ratio == pytest.approx(0.9)
    assert (one.server_per_s.minimum, one.server_per_s.maximum) == (40, 97)
    assert one.extra_cpu_ms == pytest.approx(2.0)
    assert (one.p50_ms, one.p95_ms, one.p99_ms) == (1.0, 2.0, 3.0)


def test_without_a_loop_there_is_no_ratio() -> None:
    one = summarize_turns("m", 7, 8, [turn(90, cpu_ms=11.0, bare=None)])
    assert one.bare_per_s is None
    assert one.ratio is None
    assert one.extra_cpu_ms is None

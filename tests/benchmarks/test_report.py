import dataclasses
from pathlib import Path

import cv2

from benchmarks.footprint import Imports
from benchmarks.report import measure
from benchmarks.server import Memory
from benchmarks.timing import Effort
from tests.benchmarks.support.artifacts import FACES, MASKS
from tests.benchmarks.support.reports import SERVER, report


def test_checks_state_value_limit_and_verdict() -> None:
    checks = {check.name: check for check in report().checks}
    assert all(check.passed for check in checks.values())
    packages = checks["deployed packages on disk"]
    assert (packages.value, packages.limit, packages.unit) == (141.0, 330.0, "MB")
    assert checks["VmRSS, every model used"].value == 200.0
    assert checks["server ready after"].limit == 2.0


def test_each_limit_can_fail() -> None:
    used = Memory(resident_mb=260.1, peak_mb=300.0)
    slow = dataclasses.replace(SERVER, ready_s=2.01, used=used)
    bad = report(server=slow, imports=Imports(seconds=9.0, frameworks=("torch",)))
    heavy = dataclasses.replace(bad, packages_mb={"numpy": 331.0})
    assert [check.passed for check in heavy.checks] == [False] * 4


def test_everything_is_measured(measurable: Path) -> None:
    threads = cv2.getNumThreads()
    effort = Effort(0.0, 2, 2, warm_up_rounds=1, process_starts=1)
    lines: list[str] = []
    try:
        result = measure(measurable, effort, quick=True, progress=lines.append)
    finally:
        cv2.setNumThreads(threads)
    assert [model.id for model in result.models] == [MASKS, FACES]
    assert result.quick
    assert lines == ["imports and packages", "server", MASKS, FACES]

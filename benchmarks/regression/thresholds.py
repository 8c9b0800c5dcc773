"""Read thresholds.toml: what a change may cost, and how often it is measured."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

from benchmarks.errors import BenchmarkError

Clock = Literal["cpu", "wall"]
PATH = Path(__file__).with_name("thresholds.toml")
LEAST_RUNS = 200  # fewer give minima that are no minima

_Section = TypeVar("_Section")


@dataclass(frozen=True, slots=True)
class Timing:
    """The measurement and the judgement of times."""

    ratio: float
    doubt: float
    repeats: int
    clock: Clock
    starts: int
    runs: int
    run_ms: float
    http_run_ms: float
    import_runs: int


@dataclass(frozen=True, slots=True)
class Exact:
    """The sizes and memory that are allowed: head divided by base."""

    artifact_ratio: float
    code_ratio: float
    package_ratio: float
    memory_ratio: float
    memory_bytes: int  # may be added in any case


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The whole file."""

    time: Timing
    exact: Exact
    cases: Mapping[str, float] = field(default_factory=dict)  # ratios of single cases

    def ratio_of(self, case: str) -> float:
        """Return the ratio above which a case is slower."""
        return self.cases.get(case, self.time.ratio)


def read_thresholds(path: Path = PATH) -> Thresholds:
    """Read a file of thresholds.

    Raises:
        BenchmarkError: a field is missing, unknown or out of its range; the message names it.
    """
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    unknown = sorted(set(content) - {"time", "exact", "cases"})
    if unknown:
        raise BenchmarkError(
            f"{path}: section {unknown[0]} is unknown; allowed: time, exact, cases"
        )
    timing = _section(Timing, content.get("time", {}), f"{path}: time")
    if timing.clock not in ("cpu", "wall"):
        raise BenchmarkError(f"{path}: time.clock is {timing.clock!r}; allowed: cpu, wall")
    if timing.runs < LEAST_RUNS:
        raise BenchmarkError(f"{path}: time.runs is {timing.runs}; allowed: {LEAST_RUNS} or more")
    if not 1 <= timing.doubt <= timing.ratio:
        allowed = f"allowed: 1 to time.ratio, {timing.ratio}"
        raise BenchmarkError(f"{path}: time.doubt is {timing.doubt}; {allowed}")
    if timing.repeats < 1 or timing.repeats % 2 == 0:
        raise BenchmarkError(f"{path}: time.repeats is {timing.repeats}; allowed: 1, 3, 5, ...")
    exact = _section(Exact, content.get("exact", {}), f"{path}: exact")
    cases = {str(name): float(ratio) for name, ratio in content.get("cases", {}).items()}
    return Thresholds(timing, exact, cases)


def _section(kind: type[_Section], content: Mapping[str, Any], place: str) -> _Section:
    """Return a section with exactly the fields of its class."""
    names = [entry.name for entry in fields(kind)]  # type: ignore[arg-type]
    if missing := sorted(set(names) - set(content)):
        raise BenchmarkError(f"{place} lacks {', '.join(missing)}")
    if unknown := sorted(set(content) - set(names)):
        raise BenchmarkError(f"{place} has {unknown[0]}, which is unknown; allowed: {names}")
    return kind(**content)

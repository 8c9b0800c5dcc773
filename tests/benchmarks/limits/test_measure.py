"""The outcome of a case, and one real server in a cgroup where the system allows it."""

from pathlib import Path

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.limits.__main__ import Limits, cases
from benchmarks.limits.cgroup import version_of
from benchmarks.limits.measure import Case, Effort, LimitRow, Notes, measure_case, row_of
from benchmarks.schema.conditions import begin
from benchmarks.schema.document import write_section
from tests.benchmarks.support.artifacts import FACES, MEDIA
from tests.benchmarks.support.reports import validator

CASE = Case({FACES: MEDIA[0]}, 512, 0.5)
EFFORT = Effort(ready_s=300, asking_s=2, requests=3, request_s=20)
SERVED = Notes(
    ready_s=2.0, memory_bytes=10**8, peak_bytes=10**8, asking_s=2.0, milliseconds=[1.0, 3.0]
)


def row(notes: Notes) -> LimitRow:
    return row_of(CASE, EFFORT, notes)


def test_a_served_case_has_its_figures() -> None:
    one = row(SERVED)
    assert (one.outcome, one.detail, one.answered) == ("served", "", 2)
    assert (one.p50_ms, one.requests_per_second, one.memory_mb) == (2.0, 1.0, 100.0)


@pytest.mark.parametrize(
    ("notes", "outcome", "detail"),
    [
        (Notes(), "not ready", "not ready in 300 s"),
        (Notes(problem="refused"), "not ready", "refused"),
        (Notes(oom_kills=1), "killed", "oom_kill 1"),
        (Notes(ready_s=1.0, milliseconds=[1.0], problem="it left"), "failed", "it left"),
        (Notes(ready_s=1.0, refused=4), "failed", ""),
    ],
)
def test_what_went_wrong_is_the_outcome(notes: Notes, outcome: str, detail: str) -> None:
    one = row(notes)
    assert one.outcome == outcome
    assert detail in one.detail
    assert notes.milliseconds or one.p50_ms is None


def test_every_model_alone_then_all_with_each_number_of_cpus() -> None:
    media = {"a": b"1", "b": b"2"}
    names = [(tuple(case.media), case.cpus) for case in cases(media, 512, (0.5, 1), ())]
    sets = [("a",), ("b",), ("a", "b")]
    assert names == [(models, cpus) for models in sets for cpus in (0.5, 1)]
    assert [tuple(case.media) for case in cases(media, 512, (1,), ["b"])] == [("b",)]


def test_the_section_follows_the_schema(tmp_path: Path) -> None:
    section = Limits(begin().end(), (row(SERVED), row(Notes())), ("a note",))
    validator().validate(write_section(tmp_path, "limits", section))


def test_a_server_in_a_cgroup_answers_and_is_measured(measurable: Path) -> None:
    try:
        version_of()
    except BenchmarkError as error:
        pytest.skip(str(error))
    one = measure_case(measurable, CASE, Effort(60, 20, 3, 20))
    assert (one.outcome, one.detail) == ("served", "")
    assert (one.answered, one.refused) == (3, 0)
    assert one.memory_mb is not None
    assert 20 < one.memory_mb < 512
    assert one.peak_mb is not None
    assert one.peak_mb >= one.memory_mb

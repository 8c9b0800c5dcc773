"""The verdicts of the gate, and how often it measures before it says that a case is slower."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.regression import gate
from benchmarks.regression.__main__ import main
from benchmarks.regression.checkout import Checkout, checkout_at, git, merge_base
from benchmarks.regression.gate import judge_times
from benchmarks.regression.passes import Least, Pair, Sides
from benchmarks.regression.thresholds import PATH, Thresholds, read_thresholds
from benchmarks.regression.verdict import ExactVerdict, TimeVerdict, table
from benchmarks.regression.workload import Workload

SIDE = Checkout(Path(), Path())
WORKLOAD = Workload((), Path(), (), Path())
THRESHOLDS = read_thresholds()


def pair(ratio: float) -> Pair:
    return Pair(Least(1000, 1000, 1), Least(1000, 1000 * ratio, 1))


def judged(
    monkeypatch: pytest.MonkeyPatch, *passes: Sequence[float], thresholds: Thresholds = THRESHOLDS
) -> tuple[tuple[str, ...], int]:
    """Return the alarms, and the number of passes, where case i has the ratios passes[..][i]."""
    remaining = [list(ratios) for ratios in passes]
    names = [f"case {number}" for number in range(len(passes[0]))]

    def time_cases(*arguments: object) -> dict[str, Pair]:
        cases = arguments[2]
        assert isinstance(cases, list | tuple)
        ratios = dict(zip(names, remaining.pop(0), strict=True))
        return {case: pair(ratios[case]) for case in cases}

    monkeypatch.setattr(gate, "time_cases", time_cases)
    outcome = judge_times(Sides(SIDE, SIDE), WORKLOAD, thresholds, names)
    return outcome.alarms, len(passes) - len(remaining)


def test_a_case_without_doubt_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert judged(monkeypatch, [1.03, 0.9]) == ((), 1)


def test_noise_does_not_hide_what_is_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    assert judged(monkeypatch, [1.056, 1.0], [1.11, 1.0], [1.12, 1.0]) == (("case 0",), 3)
    assert judged(monkeypatch, [1.056, 1.0], [1.11, 1.0], [1.01, 1.0]) == ((), 3)


def test_an_alarm_that_does_not_repeat_is_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    assert judged(monkeypatch, [1.5, 1.0], [1.0, 1.0], [1.01, 1.0]) == ((), 3)


def test_an_alarm_that_repeats_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    assert judged(monkeypatch, [1.08, 1.0], [1.0, 9.0], [1.07, 9.0]) == (("case 0",), 3)


def test_a_case_may_have_a_limit_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    thresholds = replace(THRESHOLDS, cases={"case 0": 1.2})
    assert judged(monkeypatch, *[[1.19, 1.0]] * 3, thresholds=thresholds) == ((), 3)
    assert judged(monkeypatch, *[[1.21, 1.0]] * 3, thresholds=thresholds) == (("case 0",), 3)


@pytest.mark.parametrize(
    ("base", "head", "is_larger"),
    [(100, 100, False), (100, 103, False), (100, 111, False), (100, 121, True), (1000, 1101, True)],
)
def test_what_is_exact_has_a_ratio_and_an_allowance(base: int, head: int, is_larger: bool) -> None:
    assert ExactVerdict("x", base, head, 1.1, 20).is_larger == is_larger


def test_the_table_marks_what_got_worse() -> None:
    times = [TimeVerdict("a", 1, 2, (2.0,), 1.06), TimeVerdict("b", 1, 1, (1.0,), 1.06)]
    lines = table(times, [ExactVerdict("c", 1, 2, 1.0, 0)]).splitlines()
    assert [line.split(" ")[1] for line in lines if "SLOWER" in line or "LARGER" in line] == [
        "a",
        "c",
    ]


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("runs = 210", "runs = 100", "time.runs is 100; allowed: 200 or more"),
        ('clock = "cpu"', 'clock = "sun"', "time.clock is 'sun'; allowed: cpu, wall"),
        ("repeats = 3", "repeats = 2", "time.repeats is 2; allowed: 1, 3, 5"),
        ("doubt = 1.03", "doubt = 1.3", "time.doubt is 1.3; allowed: 1 to time.ratio, 1.06"),
        ("ratio = 1.06", "speed = 1.06", "time lacks ratio"),
        ("[cases]", "[case]", "section case is unknown"),
    ],
)
def test_wrong_thresholds_are_refused(tmp_path: Path, before: str, after: str, reason: str) -> None:
    text = PATH.read_text(encoding="utf-8")
    assert before in text
    path = tmp_path / "thresholds.toml"
    path.write_text(text.replace(before, after, 1))
    with pytest.raises(BenchmarkError, match=reason):
        read_thresholds(path)


def test_a_file_without_ratios_of_single_cases_has_none(tmp_path: Path) -> None:
    path = tmp_path / "thresholds.toml"
    path.write_text(PATH.read_text(encoding="utf-8").partition("[cases]")[0])
    assert read_thresholds(path).ratio_of("http: live") == THRESHOLDS.time.ratio


def test_what_cannot_be_measured_is_no_alarm(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--thresholds", str(tmp_path / "absent.toml")]) == 2
    assert "absent.toml" in capsys.readouterr().err


def test_the_base_is_where_the_branch_left_main(tmp_path: Path) -> None:
    name = ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m")
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / "file").write_text("base")
    git(tmp_path, "add", "file")
    git(tmp_path, *name, "one")
    git(tmp_path, "checkout", "-q", "-b", "side")
    (tmp_path / "file").write_text("head")
    git(tmp_path, *name, "two")
    with merge_base(tmp_path, "main") as base:
        assert (base / "file").read_text() == "base"
        place = base
    assert not place.exists()
    assert git(tmp_path, "worktree", "list").count("\n") == 0


def test_a_folder_without_the_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="is no checkout"):
        checkout_at(tmp_path, tmp_path)

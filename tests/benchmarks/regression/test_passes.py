"""Both sides are really measured: by the code of each, in turns."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.regression import passes
from benchmarks.regression.checkout import Checkout, checkout_at
from benchmarks.regression.exact import sizes
from benchmarks.regression.passes import Sides, time_cases
from benchmarks.regression.proof import COPIED, SLOWDOWNS, slow_down, summary
from benchmarks.regression.subjects import Durations, HttpServer, Worker
from benchmarks.regression.thresholds import Timing, read_thresholds
from benchmarks.regression.workload import Workload, names_of, write_workload

PROJECT = Path(__file__).parents[3]
TIMING = replace(read_thresholds().time, starts=1, runs=1, run_ms=0.1)
CASE = "face_detector_yunet: answer"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("regression")


@pytest.fixture(scope="module")
def workload(folder: Path) -> Workload:
    return write_workload(folder)


@pytest.fixture(scope="module")
def base(folder: Path) -> Checkout:
    return checkout_at(PROJECT, folder / "base-code")


@pytest.fixture(scope="module")
def slow(folder: Path, base: Checkout, workload: Workload) -> Checkout:
    """Return a copy in which a case takes twice as long."""
    head = folder / "head"
    for package in COPIED:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROJECT / package, head / package, ignore=ignored)
    slow_down(CASE, base, workload, head, share=1.0)
    return checkout_at(head, folder / "head-code")


def test_the_slower_code_is_the_slower_side(
    base: Checkout, slow: Checkout, workload: Workload
) -> None:
    other = "clinical_text_minilm: run"
    pairs = time_cases(Sides(base, slow), workload, [CASE, other], TIMING)
    assert pairs[CASE].ratio("cpu") > 1.4
    assert pairs[CASE].ratio("cpu") > pairs[other].ratio("cpu")
    assert {pair.base.runs for pair in pairs.values()} == {passes.BLOCK_RUNS}


def test_every_case_of_a_server_is_answered(base: Checkout, workload: Workload) -> None:
    with closing(HttpServer(base, workload)) as server:
        for case in workload.requests:
            ((wall_ns, cpu_ns),) = server.measure(case.name, 1, 2)
            assert wall_ns > 0
            assert cpu_ns > 0
        assert server.anonymous_bytes() > 10_000_000


def test_a_checkout_that_does_not_load_is_named(folder: Path, workload: Workload) -> None:
    broken = folder / "broken"
    (broken / "runtime").mkdir(parents=True)
    (broken / "runtime" / "model.py").write_text("")
    with (
        closing(Worker(checkout_at(broken, folder / "broken-code"), workload)) as worker,
        pytest.raises(BenchmarkError, match=r"(?s)a worker ended: .*Error"),
    ):
        worker.measure(CASE, 1, 1)


def test_every_slowdown_names_a_case_and_a_place(workload: Workload) -> None:
    assert SLOWDOWNS.keys() <= {*names_of(workload), passes.IMPORT}
    for slowdown in SLOWDOWNS.values():
        text = (PROJECT / slowdown.file).read_text(encoding="utf-8")
        name = slowdown.target.rpartition(".")[2]
        assert f"def {name}(" in text or not name


def test_code_that_grew_is_larger(base: Checkout, slow: Checkout) -> None:
    exact = replace(read_thresholds().exact, code_ratio=1.0)
    (code,) = (verdict for verdict in sizes(Sides(base, slow), exact) if "code" in verdict.case)
    assert code.is_larger


def test_a_real_model_has_names_of_its_own(tmp_path: Path, measurable: Path) -> None:
    workload = write_workload(tmp_path, measurable)
    names = names_of(workload)
    assert len(set(names)) == len(names)
    assert any(name.startswith("real ") for name in names)


class Recorder:
    """A subject that notes its turns."""

    turns: list[tuple[str, str, int, int]] = []  # noqa: RUF012 - of all sides

    def __init__(self, checkout: Checkout) -> None:
        self.side = checkout.directory.name

    def measure(self, case: str, runs: int, loops: int) -> Durations:
        self.turns.append((self.side, case, runs, loops))
        return [(100_000, 50_000)] * runs

    def close(self) -> None:
        self.turns.append((self.side, "", 0, 0))


@pytest.fixture
def turns() -> Iterator[list[tuple[str, str, int, int]]]:
    Recorder.turns.clear()
    yield Recorder.turns
    Recorder.turns.clear()


def test_sides_take_turns_with_the_same_number_of_calls(
    turns: list[tuple[str, str, int, int]],
) -> None:
    sides = Sides(Checkout(Path("base"), Path()), Checkout(Path("head"), Path()))
    timing: Timing = replace(TIMING, starts=2, runs=40, run_ms=0.3)
    pairs = passes._in_turns(sides, Recorder, ["a", "b"], timing)
    assert {(pair.base.runs, pair.head.runs) for pair in pairs.values()} == {(40, 40)}
    measured = [turn for turn in turns if turn[2] == passes.BLOCK_RUNS]
    assert {turn[3] for turn in measured} == {3}  # calls of 100 us for 0.3 ms
    sides_of_a = [turn[0] for turn in measured if turn[1] == "a"]
    assert sides_of_a == ["base", "head", "head", "base", "head", "base", "base", "head"]


def test_the_proof_counts_what_was_right_by_the_kind_of_the_case() -> None:
    def line(slowed: str | None, *ratios: Sequence[float], right: bool = True) -> dict[str, object]:
        cases = {slowed or f"case {number}": one for number, one in enumerate(ratios)}
        return {"slowed": slowed, "right": right, "ratios": cases}

    lines = [
        line("a: answer", [1.2, 1.1, 1.0]), line("b: answer", [1.05], right=False),
        line("http: live", [1.3, 1.1, 1.2]), line(None, [1.0], [1.09, 0.9, 0.9]), line(None, [0.9]),
    ]  # fmt: skip
    assert summary(lines).splitlines()[2:] == [
        "| identical | 2 of 2 | 0.90 to 1.09 |",
        "| slowed: a request over HTTP | 1 of 1 | 1.20 to 1.20 |",
        "| slowed: answer | 1 of 2 | 1.05 to 1.10 |",
    ]

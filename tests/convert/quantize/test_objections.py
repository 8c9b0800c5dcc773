"""Objections to a graph: whose samples count, and which ratios are measured again."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from convert.metrics import Fidelity
from convert.quantize import measure_candidates as module
from convert.quantize.config_fields import describe_config
from convert.quantize.measure_candidates import Candidate, Finalist, is_close, measure_candidates
from convert.quantize.quantizer import QuantizationConfig, all_op_types
from convert.quantize.search.float_layers import Measurement, Trial

CONFIG = QuantizationConfig(all_op_types())
OF_GUIDES, OF_JUDGES = "sure_recall 0.9500 < 0.96", "sure_recall 0.9400 < 0.96"


def objections(*, judges: tuple[str, ...], is_settled: bool) -> list[str]:
    fidelity = Fidelity({}, 0.1)
    trial = Trial(CONFIG, Measurement(fidelity, 1.0, 1), (OF_GUIDES,))
    name = describe_config(CONFIG)
    graph = Finalist(name, trial, Path("int8.onnx"), 1, fidelity, judges, is_settled)
    return Candidate(graph, {"QLinearConv": 1}, 1.0, 2.0, 1).objections


@pytest.mark.parametrize(
    ("judges", "is_settled", "expected"),
    [
        ((), True, []),  # one box of the few that guide is no objection
        ((OF_JUDGES,), True, [f"{OF_JUDGES} on inputs that the search did not see"]),
        ((), False, [OF_GUIDES]),
        ((OF_JUDGES,), False, [OF_GUIDES]),
    ],
)
def test_guides_object_where_the_judges_cannot_settle_it(
    judges: tuple[str, ...], is_settled: bool, expected: list[str]
) -> None:
    assert objections(judges=judges, is_settled=is_settled) == expected


@pytest.mark.parametrize(
    ("milliseconds", "speedups", "expected"),
    [
        ([10, 5], [1.05], False),
        ([10, 9.6], [1.05], True),  # 1.04 for 1.05
        ([10, 9.3], [1.05], True),  # 1.075
        ([10, 9.1], [1.05], False),  # 1.10
        ([10, 10], [1.05], False),
        ([10, 5, 4.8], [1.05, 1.05], True),  # the second is 1.04 times as fast as the first
        ([10, 5, 4.8], [1.05, 1.15], False),
        ([10, 5, 4.4], [1.05, 1.15], True),
        ([10, 5, 6], [1.05, 1.05], False),
    ],
)
def test_ratios_near_a_bound_are_close(
    milliseconds: Sequence[float], speedups: Sequence[float], expected: bool
) -> None:
    assert is_close(milliseconds, speedups) is expected


def test_candidates_are_measured_again_while_they_are_close(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers: list[bool] = []

    def least_ms(
        paths: Sequence[Path], feeds: object, *, is_close: Callable[[Sequence[float]], bool]
    ) -> list[float]:
        answers.extend([is_close([10, 5, 4.4]), is_close([10, 5, 4.8])])
        return [10, 5, 4]

    monkeypatch.setattr(module, "least_ms", least_ms)
    monkeypatch.setattr(module, "peak_bytes", lambda path, feeds: 1)
    monkeypatch.setattr(module, "integer_operators", lambda path: {})
    fidelity = Fidelity({}, 0.1)
    trials = [
        Trial(replace(CONFIG, matmul_mode=mode), Measurement(fidelity, 1.0, 1), ())
        for mode in ("static", "dynamic")
    ]
    file = Path(__file__)
    graphs = [Finalist("name", trial, file, 1, fidelity, ()) for trial in trials]
    _, candidates = measure_candidates(file, graphs, {})
    assert answers == [True, False]  # 1.15 is the bound of dynamic ranges
    assert [candidate.times_faster for candidate in candidates] == [2, 2.5]

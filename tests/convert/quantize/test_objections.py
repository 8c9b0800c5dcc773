"""Objections to a graph: whose samples count."""

from pathlib import Path

import pytest

from convert.metrics import Fidelity
from convert.quantize.config_fields import describe_config
from convert.quantize.measure_candidates import Candidate, Finalist
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

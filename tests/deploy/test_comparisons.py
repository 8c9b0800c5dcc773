"""Compare numbers of an answer with expected ones."""

import numpy as np
import pytest

from deploy.client import Reply
from deploy.comparisons import compare
from deploy.rows import Row
from runtime.artifact.golden_limits import Difference

OK = Reply(200, {}, b"{}", 1.0)
RECORDED = Difference(mean_abs=0.01, max_abs=0.02)


def row(expected: list[float], actual: list[float], unit: float = 1.0) -> Row:
    return compare("route", OK, np.array(expected), np.array(actual), RECORDED, unit)


def test_a_difference_within_the_limits_passes_and_is_reported() -> None:
    result = row([0.5, 0.5], [0.5, 0.5209])
    assert result.problem == ""
    assert result.difference == pytest.approx(0.0209)


@pytest.mark.parametrize(
    ("actual", "problem"),
    [
        ([0.5, 0.5211], "mean 1.1e-02, largest 2.1e-02; allowed 1.1e-02 and 2.1e-02"),
        ([0.512, 0.512], "mean 1.2e-02, largest 1.2e-02; allowed 1.1e-02 and 2.1e-02"),
        ([0.5, float("nan")], "mean nan, largest nan; allowed 1.1e-02 and 2.1e-02"),
        ([0.5], "shape (1,); expected (2,)"),
    ],
)
def test_any_other_answer_fails(actual: list[float], problem: str) -> None:
    assert row([0.5, 0.5], actual).problem == problem


def test_the_margin_and_the_difference_are_in_units() -> None:
    expected, actual = [100.0, 100.0], [100.0, 100.6]
    assert "allowed 1.1e-02 and 2.1e-02" in row(expected, actual).problem
    result = row(expected, actual, unit=640.0)
    assert result.problem == ""
    assert result.difference == pytest.approx(0.6 / 640)


def test_an_answer_with_another_status_is_not_compared() -> None:
    reply = Reply(503, {}, b"busy", 1.0)
    result = compare("route", reply, np.zeros(1), np.zeros(1), RECORDED)
    assert result.problem == "status 503: b'busy'"
    assert result.difference is None

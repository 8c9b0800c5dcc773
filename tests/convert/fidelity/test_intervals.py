import numpy as np
import pytest

from convert.fidelity.intervals import mean_upper, ratio_lower, share_lower


@pytest.mark.parametrize(
    ("successes", "count", "expected"),
    # 0.05 ** (1 / n) without a failure; the others are R's binom.test(..., alternative="greater")
    [(100, 100, 0.9705), (99, 100, 0.9534), (32, 32, 0.9106), (50, 60, 0.7339), (0, 9, 0.0)],
)
def test_a_share_has_the_exact_lower_bound(successes: int, count: int, expected: float) -> None:
    assert share_lower(successes, count) == pytest.approx(expected, abs=2e-3)


def test_nothing_measured_proves_nothing() -> None:
    nothing = np.array([])
    assert share_lower(0, 0) == 0
    assert mean_upper(nothing) == float("inf")
    assert ratio_lower(np.zeros(5), np.zeros(5)) == 0


def test_the_bound_of_a_mean_is_that_of_a_normal_distribution() -> None:
    values = np.random.default_rng(0).normal(2, 1, 400)
    bound = mean_upper(values)
    assert bound == pytest.approx(values.mean() + 1.645 * values.std() / 20, abs=0.01)
    assert mean_upper(values) == bound  # the same in every conversion


def test_boxes_of_one_image_are_one_piece_of_evidence() -> None:
    # 10 of 100 boxes are missed: one in each of ten images, or all of them in a single image
    spread, together = np.full(10, 9.0), np.array([10.0] * 9 + [0])
    totals = np.full(10, 10.0)
    assert ratio_lower(spread, totals) == pytest.approx(0.9)
    # resamples without a failure show none: no surer than as many trials without one
    assert ratio_lower(totals, totals) == pytest.approx(share_lower(100, 100))
    assert ratio_lower(together, totals) < 0.8

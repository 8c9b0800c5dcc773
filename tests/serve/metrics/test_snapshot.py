"""Figures of two texts of /metrics compared."""

import math

import pytest

from serve.metrics.snapshot import Change, Snapshot, quantile

BUCKETS = '# TYPE t_seconds histogram\nt_seconds_bucket{{r="a",le="0.1"}} {0}\n'
BUCKETS += 't_seconds_bucket{{r="b",le="0.1"}} {1}\nt_seconds_bucket{{r="b",le="+Inf"}} {2}\n'


def snapshot(time_s: float, *values: float) -> Snapshot:
    return Snapshot.parse(BUCKETS.format(*values), time_s)


def test_sums_are_over_the_labels_that_are_not_named() -> None:
    one = snapshot(0.0, 1, 2, 4)
    assert one.total("t_seconds_bucket", le="0.1") == 3
    assert one.total("t_seconds_bucket", r="b") == 6
    assert one.by("r", "t_seconds_bucket") == {"a": 1, "b": 6}
    assert one.buckets("t_seconds") == {0.1: 3, math.inf: 4}
    assert one.total("nothing") == 0


def test_a_rate_is_per_second_and_a_counter_that_fell_began_again() -> None:
    change = Change(snapshot(10.0, 5, 0, 0), snapshot(12.0, 9, 0, 0))
    assert change.rate("t_seconds_bucket", r="a") == 2
    restarted = Change(snapshot(10.0, 5, 0, 0), snapshot(12.0, 3, 0, 0))
    assert restarted.rate("t_seconds_bucket", r="a") == 1.5


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 0.1 * 2 / 3), (0.75, 0.1), (0.99, 0.1), (0.0, 0.0)]
)
def test_a_percentile_is_linear_within_its_bucket(share: float, expected: float) -> None:
    change = Change(snapshot(0.0, 7, 7, 20), snapshot(1.0, 8, 9, 24))  # 3 up to 0.1, 1 above
    assert change.quantile(share, "t_seconds") == pytest.approx(expected)


def test_nothing_observed_has_no_percentile() -> None:
    assert Change(snapshot(0.0, 1, 1, 2), snapshot(1.0, 1, 1, 2)).quantile(0.5, "t_seconds") is None
    assert quantile(0.5, {}) is None


def test_another_text_is_refused() -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # of the parser, whose message may change
        Snapshot.parse('a{b="c} 1\n', 0.0)

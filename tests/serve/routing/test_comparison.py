"""Two versions are compared: what is decided, and how often equal versions are told apart."""

import numpy as np
import pytest

from serve.routing.comparison import (
    MINIMUM,
    Share,
    compare,
    most_agreement,
    quantile_ms,
    two_proportions,
)
from serve.routing.counts import BINS, MOST_LABELS, OTHER, Counts, VersionCounts, bin_of


def counts(*, answers: int, errors: int = 0, confident: int = 0, correct: int = 0) -> VersionCounts:
    return VersionCounts(
        answers=answers - errors,
        errors=errors,
        classified=answers - errors,
        confident=confident,
        correct=correct,
        wrong=answers - correct if correct else 0,
    )


def verdicts(one: VersionCounts, other: VersionCounts, **options: float) -> dict[str, str]:
    return {c.name: c.verdict for c in compare(one, other, **options)}  # type: ignore[arg-type]


def test_the_p_value_is_that_of_the_pooled_z_test() -> None:
    # 0.5 against 0.55 of 1000: z = 0.05 / sqrt(0.525 x 0.475 x 2 / 1000) = 2.2388
    p_value = two_proportions(Share(500, 1000), Share(550, 1000))
    assert p_value == pytest.approx(0.025168, abs=1e-5)
    assert two_proportions(Share(550, 1000), Share(500, 1000)) == p_value
    assert two_proportions(Share(500, 1000), Share(500, 1000)) == 1.0
    assert two_proportions(Share(0, 1000), Share(9, 1000)) is None  # 4.5 expected in each
    assert two_proportions(Share(0, 1000), Share(10, 1000)) is not None
    assert two_proportions(Share(0, 0), Share(0, 0)) is None


def test_better_worse_and_undecided() -> None:
    one = counts(answers=2000, errors=20, confident=1000, correct=1000)
    same = verdicts(one, one)
    assert same == dict.fromkeys(("errors", "confident", "correct"), "undecided")
    other = counts(answers=2000, errors=80, confident=1200, correct=850)
    assert verdicts(one, other) == {"errors": "worse", "confident": "better", "correct": "worse"}
    assert verdicts(other, one) == {"errors": "better", "confident": "worse", "correct": "better"}
    few = counts(answers=MINIMUM - 1, confident=450)
    assert verdicts(one, few) == {
        "errors": "undecided", "confident": "undecided", "correct": "undecided",
    }  # fmt: skip
    assert verdicts(one, few, minimum=100)["confident"] == "better"


def test_what_was_not_counted_is_not_compared() -> None:
    tensors = VersionCounts(answers=1000)
    assert list(verdicts(tensors, tensors)) == ["errors"]
    assert verdicts(VersionCounts(), VersionCounts()) == {}


def test_equal_versions_are_told_apart_as_seldom_as_promised() -> None:
    generator = np.random.default_rng(5)
    runs, found = 4000, 0
    for _ in range(runs):
        pair = [
            counts(
                answers=1000,
                errors=int(generator.binomial(1000, 0.02)),
                confident=int(generator.binomial(900, 0.7)),
                correct=int(generator.binomial(1000, 0.85)),
            )
            for _ in range(2)
        ]
        found += set(verdicts(*pair).values()) != {"undecided"}
    assert found / runs <= 0.05
    assert found / runs >= 0.03  # and it is not blind


def test_the_classes_bound_the_agreement() -> None:
    assert most_agreement({"a": 50, "b": 50}, {"a": 1, "b": 1}) == 1.0
    assert most_agreement({"a": 80, "b": 20}, {"a": 60, "c": 40}) == pytest.approx(0.6)
    assert most_agreement({}, {"a": 1}) is None


def test_durations_fall_into_bins() -> None:
    assert [bin_of(seconds) for seconds in (0, 0.0009, 0.001, 0.0014, 0.0016, 1e9)] == [
        0, 0, 1, 1, 2, BINS - 1,
    ]  # fmt: skip
    bins = [0] * BINS
    assert quantile_ms(bins, 0.5) is None
    bins[0], bins[4] = 60, 40
    assert quantile_ms(bins, 0.5) == 1.0
    assert quantile_ms(bins, 0.95) == pytest.approx(1.5**4)


def test_counts_are_copies_bounded_and_begin_anew() -> None:
    all_counts = Counts()
    for number in range(2 * MOST_LABELS):
        all_counts.answer("model", 1, 0.01, label=f"class {number}", confidence=0.5)
    all_counts.error("model", 1)
    all_counts.outcome("model", 2, correct=3, wrong=1)
    before = all_counts.of("model")
    one = before.versions[1]
    assert (one.answers, one.errors, one.confident) == (128, 1, 128)
    assert one.labels[OTHER] == MOST_LABELS
    assert len(one.labels) == MOST_LABELS + 1
    all_counts.answer("model", 1, 0.01)
    assert one.answers == 128
    all_counts.begin("model")
    after = all_counts.of("model")
    assert after.versions == {}
    assert after.since_s > before.since_s

"""Weighted soft voting against computations by hand, and its early exit."""

import numpy as np
import pytest

from runtime.errors import InputError, TooLargeError
from runtime.tasks.soft_voting import Vote, is_decided, normalized, parse_weights, weighted_mean


def vote(weight: float, *probabilities: float) -> Vote:
    return Vote(weight, np.array(probabilities))


def test_the_mean_of_three_votes_is_that_computed_by_hand() -> None:
    votes = [vote(0.4, 0.5, 0.3, 0.2), vote(0.4, 0.1, 0.6, 0.3), vote(0.2, 0.0, 0.0, 1.0)]
    # 0.4 * 0.5 + 0.4 * 0.1 = 0.24; 0.4 * 0.3 + 0.4 * 0.6 = 0.36; 0.08 + 0.12 + 0.2 = 0.40
    result = weighted_mean(votes)
    assert result is not None
    np.testing.assert_allclose(result, [0.24, 0.36, 0.40], atol=1e-12)


def test_weights_count_as_shares_of_the_votes_cast() -> None:
    # 0.4 and 0.2 without the third: 2/3 and 1/3
    result = weighted_mean([vote(0.4, 0.6, 0.4), vote(0.2, 0.0, 1.0)])
    assert result is not None
    np.testing.assert_allclose(result, [0.4, 0.6], atol=1e-12)
    assert weighted_mean([]) is None


def test_scores_are_divided_by_their_sum() -> None:
    scores = np.array([0.6, 0.15, 0.0], np.float32)
    np.testing.assert_allclose(normalized(scores, "m"), [0.8, 0.2, 0.0], atol=1e-7)


@pytest.mark.parametrize("values", [[0.0, 0.0], [np.nan, 1.0], [np.inf, 0.0], [-0.1, 1.1]])
def test_scores_that_cannot_be_normalized_are_an_error(values: list[float]) -> None:
    with pytest.raises(ArithmeticError, match="m returned values that are no probabilities"):
        normalized(np.array(values), "m")


def test_a_vote_is_decided_only_beyond_a_tie() -> None:
    lead = [vote(0.5, 0.75, 0.25)]  # leads by 0.25, to the last bit
    assert is_decided(lead, 0.24)
    assert not is_decided(lead, 0.25)  # a tie is possible, and the order of labels would decide it
    assert not is_decided(lead, 0.26)
    assert not is_decided([], 0.5)


@pytest.mark.parametrize("seed", range(40))
def test_early_exit_never_changes_the_top_label(seed: int) -> None:
    rng = np.random.default_rng(seed)
    exits = 0
    for _ in range(100):
        members, classes = int(rng.integers(2, 7)), int(rng.integers(2, 9))
        weights = rng.uniform(0.01, 1.0, members)
        exact = rng.dirichlet(np.full(classes, rng.uniform(0.05, 2.0)), members)
        # in float32, as from a graph; a tenth of the members abstains
        rows = [normalized(row, "m") for row in exact.astype(np.float32)]
        votes = [Vote(w, p) for w, p in zip(weights, rows, strict=True) if rng.random() > 0.1]
        absent = float(weights.sum()) - sum(vote.weight for vote in votes)
        for count in range(1, len(votes)):
            remaining = absent + sum(vote.weight for vote in votes[count:])
            if is_decided(votes[:count], remaining):
                early, final = weighted_mean(votes[:count]), weighted_mean(votes)
                assert early is not None
                assert final is not None
                assert early.argmax() == final.argmax()
                exits += 1
    assert exits > 0


def test_votes_for_the_second_label_do_not_change_a_decided_one() -> None:
    rng = np.random.default_rng(0)
    for _ in range(500):
        first = vote(1.0, *rng.dirichlet(np.full(4, 0.3)))
        remaining = float(rng.uniform(0, 1))
        second = int(np.argsort(first.probabilities)[-2])
        against = Vote(remaining, np.eye(4)[second])
        result = weighted_mean([first, against])
        assert result is not None
        changes = result.argmax() != first.probabilities.argmax()
        assert not (is_decided([first], remaining) and changes)


def test_weights_are_parsed() -> None:
    assert parse_weights("one:0.4,other:2") == (("one", 0.4), ("other", 2.0))
    assert parse_weights(" one , two : 0.25 ") == (("one", 1.0), ("two", 0.25))


@pytest.mark.parametrize(
    "text",
    ["", ",", "a:", "a:0", "a:-1", "a:1e3", "a:nan", "a:1,,b:1", "a:1,a:2", "A:1", "a=1", "a:1:2",
     "a:" + "9" * 5000, "../x", "é:1", "a:٣"],
)  # fmt: skip
def test_weights_of_another_form_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="allowed") as refusal:
        parse_weights(text)
    assert len(str(refusal.value)) < 300


def test_long_weights_are_refused_before_they_are_split() -> None:
    with pytest.raises(TooLargeError, match="2049 characters; allowed: 2048"):
        parse_weights("," * 2049)
    members = ",".join(f" {'m' * 62}{index:02} : 1234.123456789 " for index in range(16))
    assert len(parse_weights(members)) == 16


def test_too_many_members_are_refused() -> None:
    with pytest.raises(InputError, match="17 members; allowed: 16"):
        parse_weights(",".join(f"m{i}" for i in range(17)))

"""The vote against hand computations, and what an early end promises."""

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.errors import InputError
from runtime.tasks.emotions import canonical_name, label_order, names_emotions
from runtime.tasks.soft_voting import Vote, is_decided, normalized, parse_weights, weighted_mean

FER2013 = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def vote(weight: float, *probabilities: float) -> Vote:
    return Vote(weight, np.array(probabilities))


def test_a_vote_of_three_by_hand() -> None:
    votes = [vote(0.4, 0.5, 0.3, 0.2), vote(0.4, 0.1, 0.6, 0.3), vote(0.2, 0.0, 0.0, 1.0)]
    # 0.4 * 0.5 + 0.4 * 0.1 = 0.24; 0.4 * 0.3 + 0.4 * 0.6 = 0.36; 0.08 + 0.12 + 0.2 = 0.40
    result = weighted_mean(votes)
    assert result is not None
    np.testing.assert_allclose(result, [0.24, 0.36, 0.40], atol=1e-12)


def test_the_weights_of_those_who_vote_are_shares_of_what_is_left() -> None:
    # 0.4 and 0.2 without the third: 2/3 and 1/3
    result = weighted_mean([vote(0.4, 0.6, 0.4), vote(0.2, 0.0, 1.0)])
    assert result is not None
    np.testing.assert_allclose(result, [0.4, 0.6], atol=1e-12)
    assert weighted_mean([]) is None


def test_scores_become_shares_of_one() -> None:
    scores = np.array([0.6, 0.15, 0.0], np.float32)
    np.testing.assert_allclose(normalized(scores, "m"), [0.8, 0.2, 0.0], atol=1e-7)


@pytest.mark.parametrize("values", [[0.0, 0.0], [np.nan, 1.0], [np.inf, 0.0], [-0.1, 1.1]])
def test_what_is_no_share_is_an_error(values: list[float]) -> None:
    with pytest.raises(ArithmeticError, match="m gave values that are no probabilities"):
        normalized(np.array(values), "m")


def test_settled_at_the_edge() -> None:
    lead = [vote(0.5, 0.75, 0.25)]  # leads by 0.25, to the last bit
    assert is_decided(lead, 0.24)
    assert not is_decided(lead, 0.25)  # all of it to the second is a tie, which order decides
    assert not is_decided(lead, 0.26)
    assert not is_decided([], 0.5)


@pytest.mark.parametrize("seed", range(40))
def test_an_early_end_never_changes_the_top_label(seed: int) -> None:
    draw = np.random.default_rng(seed)
    ended = 0
    for _ in range(100):
        members, classes = int(draw.integers(2, 7)), int(draw.integers(2, 9))
        weights = draw.uniform(0.01, 1.0, members)
        sharp = draw.dirichlet(np.full(classes, draw.uniform(0.05, 2.0)), members)
        # as a graph gives them; some abstain
        said = shares_of(sharp.astype(np.float32))
        votes = [Vote(w, p) for w, p in zip(weights, said, strict=True) if draw.random() > 0.1]
        absent = float(weights.sum()) - sum(vote.weight for vote in votes)
        for asked in range(1, len(votes)):
            waiting = absent + sum(vote.weight for vote in votes[asked:])
            if is_decided(votes[:asked], waiting):
                early, late = weighted_mean(votes[:asked]), weighted_mean(votes)
                assert early is not None
                assert late is not None
                assert early.argmax() == late.argmax()
                ended += 1
    assert ended > 0


def shares_of(rows: NDArray[np.float32]) -> list[NDArray[np.float64]]:
    return [normalized(row, "m") for row in rows]


def test_the_worst_that_others_can_say_does_not_change_it() -> None:
    draw = np.random.default_rng(0)
    for _ in range(500):
        first = vote(1.0, *draw.dirichlet(np.full(4, 0.3)))
        waiting = float(draw.uniform(0, 1))
        second = int(np.argsort(first.probabilities)[-2])
        against = Vote(waiting, np.eye(4)[second])
        result = weighted_mean([first, against])
        assert result is not None
        changes = result.argmax() != first.probabilities.argmax()
        assert not (is_decided([first], waiting) and changes)


def test_weights_are_read() -> None:
    assert parse_weights("one:0.4,other:2") == (("one", 0.4), ("other", 2.0))
    assert parse_weights(" one , two : 0.25 ") == (("one", 1.0), ("two", 0.25))


@pytest.mark.parametrize(
    "text",
    ["", ",", "a:", "a:0", "a:-1", "a:1e3", "a:nan", "a:1,,b:1", "a:1,a:2", "A:1", "a=1", "a:1:2",
     "a:" + "9" * 5000, "../x", "é:1", "a:٣"],
)  # fmt: skip
def test_weights_that_are_ill_formed_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="allowed") as refusal:
        parse_weights(text)
    assert len(str(refusal.value)) < 300


def test_too_many_members_are_refused() -> None:
    with pytest.raises(InputError, match="17 members; allowed: 16"):
        parse_weights(",".join(f"m{i}" for i in range(17)))


@pytest.mark.parametrize(
    ("label", "name"),
    [("Surprised", "surprise"), ("FEARFUL", "fear"), ("happiness ", "happy"), ("Sadness", "sad"),
     ("anger", "angry"), ("disgusted", "disgust"), ("Neutral", "neutral"), ("Dark", "dark")],
)  # fmt: skip
def test_synonyms_have_one_name(label: str, name: str) -> None:
    assert canonical_name(label) == name


def test_labels_are_brought_into_one_order() -> None:
    given = ("Anger", "Disgust", "Fearful", "Happiness", "Neutral", "Sadness", "Surprised")
    order = label_order(given, FER2013)
    assert order is not None
    assert order.tolist() == [0, 1, 2, 3, 5, 6, 4]
    assert label_order(FER2013[:6], FER2013) is None
    assert label_order((*FER2013[:6], "contempt"), FER2013) is None


def test_two_labels_that_share_a_name_stay_two() -> None:
    both = ("fear", "scared", "happy")
    assert label_order(both, ("happy", "fear", "scared")) is not None
    assert label_order(both, ("fear", "fear", "happy")) is None
    assert label_order(both, ("fear", "sad", "happy")) is None


def test_emotions_are_told_from_other_classes() -> None:
    assert names_emotions(("Anger", "joy"))
    assert not names_emotions(("anger", "angry"))
    assert not names_emotions(("face",))
    assert not names_emotions(("person", "bicycle", "car"))

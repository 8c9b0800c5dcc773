"""Sentences of reports about metrics and bounds."""

from convert.fidelity.meanings import MEANINGS, describe_bound, meanings_in


def test_a_bound_is_told_with_its_value_and_meaning() -> None:
    bound = {"metric": "score_shift", "value": 0.0285, "at_most": 0.06}
    assert describe_bound(bound) == (
        "score_shift is 0.0285, at most 0.06 is allowed "
        "(mean change of the scores of the boxes found, whatever its sign)"
    )
    lower = {"metric": "mae", "value": 0.5, "at_least": 1}
    assert describe_bound(lower).startswith("mae is 0.5000, at least 1 is allowed (")
    unknown = {**lower, "metric": "old"}
    assert describe_bound(unknown) == "old is 0.5000, at least 1 is allowed"


def test_the_metrics_of_a_refusal_are_explained_once() -> None:
    texts = ["net: float, because INT8: sure_recall_lower 0.91 < 0.92, regret 0.1 > 0.01"] * 2
    assert meanings_in(texts) == {name: MEANINGS[name] for name in ("regret", "sure_recall_lower")}
    assert meanings_in(["net: float, because precision is float"]) == {}

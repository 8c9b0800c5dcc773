"""Synonyms of emotions, and the order of labels."""

import pytest

from runtime.tasks.emotions import canonical_name, label_order, names_emotions

FER2013 = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


@pytest.mark.parametrize(
    ("label", "name"),
    [("Surprised", "surprise"), ("FEARFUL", "fear"), ("happiness ", "happy"), ("Sadness", "sad"),
     ("anger", "angry"), ("disgusted", "disgust"), ("Neutral", "neutral"), ("Dark", "dark")],
)  # fmt: skip
def test_synonyms_have_one_canonical_name(label: str, name: str) -> None:
    assert canonical_name(label) == name


def test_labels_are_ordered_like_those_of_another_classifier() -> None:
    labels = ("Anger", "Disgust", "Fearful", "Happiness", "Neutral", "Sadness", "Surprised")
    order = label_order(labels, FER2013)
    assert order is not None
    assert order.tolist() == [0, 1, 2, 3, 5, 6, 4]
    assert label_order(FER2013[:6], FER2013) is None
    assert label_order((*FER2013[:6], "contempt"), FER2013) is None


def test_two_synonyms_of_one_classifier_stay_two_labels() -> None:
    labels = ("fear", "scared", "happy")
    assert label_order(labels, ("happy", "fear", "scared")) is not None
    assert label_order(labels, ("fear", "fear", "happy")) is None
    assert label_order(labels, ("fear", "sad", "happy")) is None


def test_at_least_two_labels_must_be_emotions() -> None:
    assert names_emotions(("Anger", "joy"))
    assert not names_emotions(("anger", "angry"))
    assert not names_emotions(("face",))
    assert not names_emotions(("person", "bicycle", "car"))

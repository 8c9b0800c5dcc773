"""Labelled media as the judge: what INT8 gets wrong that float gets right."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from convert.errors import LabelsError
from convert.gate.labelled import (
    Labelled,
    LabelledSamples,
    count_right,
    read_labelled_samples,
    with_float,
)
from convert.gate.rule import Rule, rule_for
from convert.metrics import LABELLED_LOSS, measure
from convert.recipe import Tolerance
from convert.samples.sets import find_media
from tests.convert.gate.answers import classes, logits, noisy
from tests.convert.support import nets
from tests.convert.support.parity import write_float_graph

STRICT = Tolerance(at_least={"top1_agreement": 0.999}, at_most={"probability_distance": 0.001})
VALUES = logits()
REFERENCE = classes(VALUES)


def labelled(count: int) -> Labelled:
    return Labelled(LabelledSamples((), tuple([0] * count)), count)


def rule(count: int = 200) -> Rule:
    return rule_for(STRICT, REFERENCE, labelled=labelled(count))


def test_a_loss_of_one_point_is_allowed_and_more_is_not() -> None:
    metrics = measure(REFERENCE, classes(noisy(VALUES, 0.12))).metrics
    assert rule().violations({**metrics, LABELLED_LOSS: 0.01}) == []
    assert rule().violations({**metrics, LABELLED_LOSS: -0.2}) == []
    assert rule().violations({**metrics, LABELLED_LOSS: 0.02}) == ["labelled_loss 0.0200 > 0.01"]
    assert rule().describe({**metrics, LABELLED_LOSS: 0.005}) == (
        "judged by 200 labelled media: 0.50 points lost"
    )


def test_labels_do_not_excuse_flattened_probabilities() -> None:
    metrics = measure(REFERENCE, classes(VALUES * 0.6)).metrics
    reasons = rule().violations({**metrics, LABELLED_LOSS: 0.0})
    assert any(reason.startswith("confidence_shift") for reason in reasons)


def test_too_few_labelled_media_judge_nothing() -> None:
    assert rule(49).labelled is None
    assert rule(50).labelled is not None
    assert LABELLED_LOSS not in rule().search.at_least  # the search cannot measure it


def test_what_is_not_finite_is_not_right() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [np.nan, 0.5]], np.float32)
    assert count_right({"probabilities": probabilities}, (0, 0, 0)) == 1


def write(path: Path, seed: int) -> None:
    path.parent.mkdir(exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    cv2.imwrite(str(path), cv2.resize(noise, (48, 48)))


def test_media_are_read_by_folder_and_those_seen_before_are_left_out(tmp_path: Path) -> None:
    loaded = nets.loaded(nets.convolutions(layers=2))
    first, second = loaded.labels[:2]
    for number in range(4):
        write(tmp_path / first.upper() / f"{number}.png", number)
        write(tmp_path / second / f"{number}.png", 10 + number)
    write(tmp_path / "other" / "0.png", 30)
    write(tmp_path / second / "copy.png", 10)
    recipe = nets.recipe(STRICT)
    media = find_media(tmp_path, recipe)
    samples = read_labelled_samples(media, recipe, loaded, seen=None)
    assert sorted(samples.classes) == [0] * 4 + [1] * 4
    seen = find_media(tmp_path / second, recipe)
    assert read_labelled_samples(media, recipe, loaded, seen=seen).classes == (0,) * 4
    with pytest.raises(LabelsError, match="no images in folders named as classes: "):
        read_labelled_samples(find_media(tmp_path / "other", recipe), recipe, loaded, seen=None)

    path = tmp_path / "float.onnx"
    write_float_graph(loaded, path)
    assert with_float(samples, path).loss(path) == {LABELLED_LOSS: 0.0}
    more = Labelled(samples, with_float(samples, path).float_right + 2)
    assert more.loss(path) == {LABELLED_LOSS: 2 / 8}

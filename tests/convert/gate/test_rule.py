"""The rule that judges INT8, broken on purpose: no graph runs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convert.fidelity.intervals import look_confidence
from convert.gate import yardstick
from convert.gate.evidence import Evidence
from convert.gate.rule import BOXES, CLASSES, Rule, ease, rule_for
from convert.gate.verdict import describe, nearest_bound, record, verdict
from convert.gate.yardstick import (
    Yardstick,
    measure_yardstick,
    one_level_up,
    one_step_of_noise,
    through_another_rate,
    through_jpeg,
)
from convert.metrics import Outputs, measure
from convert.recipe import Tolerance, tighten
from convert.samples.sets import SampleSets
from tests.convert.gate.answers import (
    RARE,
    SERVED,
    classes,
    detector,
    jittered,
    logits,
    noisy,
    softmax,
)

STRICT = Tolerance(at_least={"top1_agreement": 0.99}, at_most={"probability_distance": 0.02})
STRICT_BOXES = Tolerance(at_least={"box_recall": 0.97})
VALUES = logits()
REFERENCE = classes(VALUES)


def judge(candidate: Outputs, *, reference: Outputs = REFERENCE) -> list[str]:
    rule = rule_for(STRICT, reference)
    return rule.violations(measure(reference, candidate).metrics)


def test_good_int8_that_the_recipe_refuses_keeps_the_bounds_of_the_task() -> None:
    candidate = classes(noisy(VALUES, 0.12))
    metrics = measure(REFERENCE, candidate).metrics
    assert STRICT.violations(metrics)
    rule = rule_for(STRICT, REFERENCE)
    assert rule.violations(metrics) == []
    assert rule.decided_by_task(metrics)
    sentence = describe(rule, metrics)
    assert sentence.startswith("judged by the bounds of the task, on 200 test media")
    assert f"regret at most {metrics['regret_upper']:.4f}" in sentence


def test_the_record_names_the_bound_with_the_least_room() -> None:
    bounds = Tolerance({"sure_recall": 0.96, "sure_iou_mean": 0.9}, {"score_shift": 0.06})
    values = {"sure_recall": 0.98, "sure_iou_mean": 0.93, "score_shift": 0.02}
    near = {"metric": "sure_iou_mean", "value": 0.93, "at_least": 0.9}  # 0.3 of its room is left
    assert nearest_bound(bounds, values) == near
    shifted = {**values, "score_shift": 0.057}
    assert nearest_bound(bounds, shifted) == {
        "metric": "score_shift",
        "value": 0.057,
        "at_most": 0.06,
    }
    assert nearest_bound(Tolerance(), values) == {}
    metrics = measure(REFERENCE, classes(noisy(VALUES, 0.12))).metrics
    rule = rule_for(STRICT, REFERENCE)
    assert record(rule, metrics)["nearest_bound"]["metric"] in (
        *CLASSES.at_least,
        *CLASSES.at_most,
    )


def swapped(one: int, other: int) -> Outputs:
    order = list(range(VALUES.shape[1]))
    order[one], order[other] = other, one
    return classes(VALUES[:, order])


def dead(kind: int) -> Outputs:
    values = VALUES.copy()
    values[:, kind] = -30
    return classes(values)


BROKEN: dict[str, tuple[Callable[[], Outputs], str]] = {
    "ranges far too small": (lambda: classes(np.clip(VALUES, -1, 1)), "sure_agreement"),
    "a collapsed head": (lambda: classes(VALUES * 0), "class_correlation"),
    "a constant answer": (lambda: classes(np.tile(VALUES[:1], (len(VALUES), 1))), "regret"),
    "two classes swapped": (lambda: swapped(0, 1), "regret"),
    "a rare class swapped with another": (lambda: swapped(RARE, 2), "class_correlation"),
    "flattened probabilities": (lambda: classes(VALUES * 0.6), "confidence_shift"),
    "sharpened probabilities": (lambda: classes(VALUES * 2), "confidence_shift"),
    "a dead class": (lambda: dead(3), "regret"),
    "a dead rare class": (lambda: dead(RARE), "class_correlation"),
    "noise of naive INT8": (lambda: classes(noisy(VALUES, 1.0)), "regret"),
    "not a number": (
        lambda: {"probabilities": np.full_like(REFERENCE["probabilities"], np.nan)},
        "regret",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_classifier_is_refused(name: str) -> None:
    make, metric = BROKEN[name]
    assert any(reason.startswith(metric) for reason in judge(make()))


def test_regret_and_agreement_alone_would_pass_flattened_and_rare_classes() -> None:
    alone = Tolerance(CLASSES.at_least, {"regret_upper": 0.01})
    alone = replace(alone, at_least={"sure_agreement": 0.99})
    flattened, rare = classes(VALUES * 0.6), dead(RARE)
    assert alone.violations(measure(REFERENCE, flattened).metrics) == []
    assert judge(flattened)
    assert judge(rare)


@pytest.mark.parametrize(
    ("count", "shortage"),
    [(16, "34 more test media and "), (60, "more sure inputs")],
)
def test_with_too_few_inputs_the_recipe_decides_and_says_what_is_missing(
    count: int, shortage: str
) -> None:
    few = classes(VALUES[:count])
    rule = rule_for(STRICT, few)
    assert rule.gate is None
    near, far = (measure(few, classes(noisy(VALUES[:count], s))).metrics for s in (0.01, 0.12))
    assert rule.violations(near) == []
    assert rule.violations(far) == STRICT.violations(far) != []
    assert shortage in describe(rule, far)
    assert rule.is_undecided(far)
    assert not rule.is_undecided(near)
    assert rule.advice(far).endswith("more media like these in --calibration would settle it")


def test_inputs_that_float_is_never_sure_of_are_no_evidence() -> None:
    rule = rule_for(STRICT, classes(VALUES * 0))
    assert rule.gate is None
    assert describe(rule, {}).endswith("need 100 more sure inputs")
    assert rule.advice({}).startswith("float is sure of nothing in these media: give --labelled")


@pytest.mark.parametrize("name", ["probabilities", "boxes"])
def test_where_all_test_media_look_like_those_that_guide_nothing_is_evidence(name: str) -> None:
    outputs = REFERENCE if name == "probabilities" else DETECTED
    rule = rule_for(STRICT, outputs, rows=(), nms=SERVED)
    assert rule.gate is None
    assert "on 0 test media of different origin with 0 sure " in describe(rule, {})


def test_a_photos_variants_add_no_evidence() -> None:
    many = {"probabilities": np.repeat(REFERENCE["probabilities"][:40], 5, axis=0)}
    assert rule_for(STRICT, many).gate is not None  # 200 rows
    rule = rule_for(STRICT, many, rows=tuple(range(0, 200, 5)))
    assert rule.gate is None
    assert rule.evidence is not None
    assert rule.evidence.sources == 40


def test_what_the_bounds_leave_in_doubt_is_decided_by_the_recipe() -> None:
    # 2 of 120 sure answers differ: 0.983 is too low. 1 of 120 is 0.992 and at least 0.961
    few = classes(VALUES[:125])
    rule = rule_for(STRICT, few)
    assert rule.gate is not None
    good = measure(few, few).metrics
    doubtful = {**good, "regret": 0.004, "regret_upper": 0.013, "top1_agreement": 0.97}
    reasons = rule.violations(doubtful)
    assert any(reason.startswith("regret_upper 0.0130 > 0.01") for reason in reasons)
    assert any(reason.startswith("top1_agreement") for reason in reasons)
    assert rule.sources_needed(doubtful) == 282  # 125 * ((13 - 4) / (10 - 4)) ** 2
    record = verdict("undecided", rule, doubtful, looks=3)
    assert record["advice"] == "about 210 more media like these in --calibration would settle it"
    assert (record["verdict"], record["graphs_judged"]) == ("undecided", 3)
    assert rule.violations({**doubtful, "top1_agreement": 1.0}) == []
    assert "leave the task's in doubt" in describe(rule, {**doubtful, "top1_agreement": 1.0})
    far = {**doubtful, "regret": 0.02, "regret_upper": 0.04}
    assert rule.violations(far)
    assert not rule.is_undecided(far)  # no number of media makes 0.02 of it 0.01


def test_what_more_media_cannot_settle_is_told() -> None:
    rare = Evidence(60, 4, "sure inputs", 100)
    assert rare.advice.startswith("1500 test media like these would settle it, and 512 are used at")
    assert "--labelled DIR, 50 labelled media" in rare.advice
    assert replace(rare, sure=40).advice == (
        "about 120 more media like these in --calibration would settle it"  # 3 of 4 judge
    )
    drawn = replace(rare, is_generated=True)
    assert drawn.advice.startswith(
        "generated media cannot settle it: give --calibration DIR with 67"
    )
    assert str(drawn) == "60 generated test media with 4 sure inputs"


def test_later_looks_at_the_same_media_need_more() -> None:
    looks = [1 - look_confidence(look) for look in range(1, 12)]
    assert looks[0] == pytest.approx(0.04)
    assert looks == sorted(looks, reverse=True)
    assert 0.0499 < sum(looks) < 0.05
    # 1 of 100 differs: enough for the first graph that is judged, not for the second
    few = classes(VALUES[sure_rows()[:100]])
    other = few["probabilities"].copy()
    other[0] = np.roll(other[0], 1)
    metrics = [
        measure(few, {"probabilities": other}, confidence=look_confidence(look)).metrics
        for look in (1, 2)
    ]
    assert metrics[0]["sure_agreement_lower"] > 0.95 > metrics[1]["sure_agreement_lower"]
    assert metrics[0]["regret_upper"] < metrics[1]["regret_upper"]
    boxes = jittered(DETECTED, px=0.3, score=0.05)
    moved = {**boxes, "boxes_xyxy": boxes["boxes_xyxy"] + (np.arange(60) < 2)[:, None, None] * 90}
    bounds = [
        measure(DETECTED, moved, SERVED, confidence=look_confidence(look)).metrics
        for look in (1, 2)
    ]
    assert bounds[0]["sure_recall_lower"] > bounds[1]["sure_recall_lower"]


def sure_rows() -> np.ndarray:
    first = np.sort(REFERENCE["probabilities"], axis=1)[:, ::-1]
    return np.flatnonzero(first[:, 0] - first[:, 1] > 0.2)


def test_halved_probabilities_of_a_rare_class_are_seen_by_their_ratio_alone() -> None:
    halved = REFERENCE["probabilities"].copy()
    halved[:, RARE] *= 0.5
    assert judge({"probabilities": halved}) == ["class_ratio 0.5000 < 0.75"]


def test_a_class_of_two_sure_inputs_is_not_judged_alone() -> None:
    rows = np.flatnonzero(REFERENCE["probabilities"].argmax(axis=1) == RARE)
    sure = np.intersect1d(rows, sure_rows())
    few = np.setdiff1d(np.arange(len(VALUES)), sure[2:])
    reference = classes(VALUES[few])
    halved = reference["probabilities"].copy()
    halved[:, RARE] *= 0.5
    rule = rule_for(STRICT, reference)
    metrics = measure(reference, {"probabilities": halved}).metrics
    assert rule.violations(metrics) == []
    assert "of 7 classes, 1 in fewer than 3 media" in describe(rule, metrics)
    alone = {"probabilities": reference["probabilities"][np.isin(few, sure[:2])]}
    assert measure(alone, {"probabilities": alone["probabilities"] / 2}).metrics[
        "class_ratio"
    ] == pytest.approx(0.5)  # no class has three: all together


def test_the_recipe_decides_alone_if_it_is_strict_or_has_no_bounds() -> None:
    assert rule_for(replace(STRICT, strict=True), REFERENCE) == Rule(replace(STRICT, strict=True))
    assert rule_for(Tolerance(), REFERENCE).gate is None
    embeddings: Outputs = {"embedding": np.eye(60, dtype=np.float32)}
    bounds = Tolerance(at_least={"cosine_mean": 0.99})
    rule = rule_for(bounds, embeddings)
    assert rule == Rule(bounds)
    same = measure(embeddings, embeddings).metrics
    assert describe(rule, same) == (
        "judged by the recipe's tolerance, on 60 test media; with 95 % certainty cosine_mean at "
        "least 1.0000"
    )


def test_bounds_on_other_outputs_stay_and_a_recipe_may_set_those_of_the_task() -> None:
    recipe = Tolerance({"cosine_mean": 0.99, "top1_agreement": 0.98}, {"regret_upper": 0.002})
    gate = rule_for(recipe, REFERENCE).gate
    assert gate is not None
    assert gate.at_least["cosine_mean"] == 0.99
    assert "top1_agreement" not in gate.at_least
    assert gate.at_most["regret_upper"] == 0.002


def test_the_search_aims_at_values_and_not_at_their_certainty() -> None:
    search = rule_for(STRICT, REFERENCE).search
    assert "regret" in search.at_most
    assert "regret_upper" not in search.at_most
    # half of it must be within reach of a perfect graph
    perfect = measure(REFERENCE, REFERENCE).metrics
    assert tighten(search).violations(perfect) == []


def test_no_bound_is_tighter_than_floats_own_change_under_jpeg_up_to_twice_the_bound() -> None:
    own = {"regret_upper": 0.0134, "sure_agreement": 0.97, "class_correlation": 0.3}
    eased = ease(CLASSES, own)
    assert eased.at_most["regret_upper"] == 0.0134
    assert eased.at_least["sure_agreement"] == pytest.approx(0.98)
    assert eased.at_least["class_correlation"] == pytest.approx(0.8)
    assert eased.at_most["confidence_shift"] == 0.03
    assert ease(BOXES, {"sure_recall": 0.999}) == BOXES
    rule = rule_for(STRICT, REFERENCE, yardstick=Yardstick({"jpeg": own}))
    assert rule.gate is not None
    assert rule.gate.at_most["regret_upper"] == 0.0134
    third = Tolerance(at_most={"regret": 0.01 / 3})
    assert third.violations({"regret": 0.5}) == ["regret 0.5000 > 0.003333"]


DETECTED = detector()


def judge_boxes(candidate: Outputs) -> list[str]:
    rule = rule_for(STRICT_BOXES, DETECTED, nms=SERVED)
    return rule.violations(measure(DETECTED, candidate, SERVED).metrics)


def test_good_boxes_that_the_recipe_refuses_keep_the_bounds_of_the_task() -> None:
    metrics = measure(DETECTED, jittered(DETECTED, px=0.3, score=0.05), SERVED).metrics
    assert STRICT_BOXES.violations(metrics)
    rule = rule_for(STRICT_BOXES, DETECTED, nms=SERVED)
    assert rule.violations(metrics) == []
    assert "sure boxes" in describe(rule, metrics)


def test_halved_scores_of_a_rare_class_are_seen_by_their_ratio_alone() -> None:
    scores = np.pad(DETECTED["scores"], ((0, 0), (0, 0), (0, 1)), constant_values=0.01)
    scores[:8, :, 3] = scores[:8, :, 0]  # what eight images show of the first class is rare
    scores[:8, :, 0] = 0.01
    reference = {**DETECTED, "scores": scores}
    halved = scores.copy()
    halved[..., 3] *= 0.5
    rule = rule_for(STRICT_BOXES, reference, nms=SERVED)
    metrics = measure(reference, {**reference, "scores": halved}, SERVED).metrics
    assert rule.violations(metrics) == ["score_ratio 0.5000 < 0.6"]


def with_scores(change: Callable[[np.ndarray], np.ndarray]) -> Outputs:
    scores = change(DETECTED["scores"].copy())
    return {**DETECTED, "scores": np.asarray(scores, np.float32)}


def widened(factor: float) -> Outputs:
    boxes = DETECTED["boxes_xyxy"].copy()
    boxes[..., 2] += (boxes[..., 2] - boxes[..., 0]) * (factor - 1)
    return {**DETECTED, "boxes_xyxy": boxes}


def one_class(scores: np.ndarray, value: float) -> np.ndarray:
    scores[..., 2] = value
    return scores


BROKEN_BOXES: dict[str, tuple[Callable[[], Outputs], str]] = {
    "classes swapped": (lambda: with_scores(lambda s: s[..., [1, 0, 2]]), "sure_recall"),
    "classes rotated": (lambda: with_scores(lambda s: np.roll(s, 1, -1)), "score_correlation"),
    "a dead class": (lambda: with_scores(lambda s: one_class(s, 0.0)), "sure_recall"),
    "a class everywhere": (lambda: with_scores(lambda s: one_class(s, 0.9)), "sure_precision"),
    "scores flattened": (lambda: with_scores(lambda s: 0.3 + s * 0.1), "score_shift"),
    "scores scaled down": (lambda: with_scores(lambda s: s * 0.85), "score_shift"),
    "scores scaled up": (lambda: with_scores(lambda s: s * 1.4), "score_shift"),
    "boxes widened": (lambda: widened(1.2), "sure_iou_mean"),
    "boxes widened beyond the match": (lambda: widened(1.5), "sure_recall"),
    "no box": (lambda: with_scores(lambda s: s * 0), "sure_recall"),
    "not a number": (lambda: with_scores(lambda s: s * np.nan), "sure_recall"),
}


@pytest.mark.parametrize("name", BROKEN_BOXES)
def test_a_broken_detector_is_refused(name: str) -> None:
    make, metric = BROKEN_BOXES[name]
    reasons = judge_boxes(make())
    assert any(reason.startswith(metric) for reason in reasons), reasons


def test_drawings_hold_too_few_boxes() -> None:
    few = {name: values[:16] for name, values in DETECTED.items()}
    rule = rule_for(STRICT_BOXES, few, nms=SERVED)
    assert rule.gate is None
    assert "more test media and" in describe(rule, measure(few, few, SERVED).metrics)


def test_the_yardstick_changes_what_nobody_sees() -> None:
    rows, columns = np.mgrid[:64, :64]
    waves = np.sin(rows / 3) * 60, np.cos(columns / 5) * 60, (rows - columns) * 0.9
    grey = (np.stack(waves, axis=2) + 120).astype(np.uint8)
    for channels in (1, 3):
        image = grey[..., :channels]
        assert 0 < np.abs(through_jpeg(image).astype(int) - image).mean() < 2
        assert through_jpeg(image).shape == image.shape
    assert one_level_up(np.array([0, 254, 255], np.uint8)).tolist() == [1, 255, 255]


def test_sounds_change_by_one_step_and_by_another_rate() -> None:
    seconds = np.arange(16_000, dtype=np.float32) / 16_000
    tone = np.asarray(0.5 * np.sin(2 * np.pi * 440 * seconds), np.float32)
    noisy_tone = one_step_of_noise(tone)
    np.testing.assert_allclose(np.abs(noisy_tone - tone), 1 / 32768, rtol=0.01)
    assert (one_step_of_noise(tone) == noisy_tone).all()
    for length in (16_000, 15_999, 401):
        back = through_another_rate(tone[:length])
        assert back.shape == (length,)
        assert back.dtype == np.float32
        assert 0 < np.abs(back - tone[:length])[50:-50].max() < 0.01


def test_each_kind_of_media_has_its_yardstick(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[dict[str, np.ndarray], ...]] = []

    def answer(path: Path, samples: tuple[dict[str, np.ndarray], ...]) -> Outputs:
        seen.append(samples)
        return REFERENCE

    monkeypatch.setattr(yardstick, "run_samples", answer)

    def changes(**feeds: np.ndarray) -> list[str]:
        samples = (feeds,) * len(VALUES)
        sets = SampleSets("synthetic", samples, samples, samples)
        measured = measure_yardstick(Path("none.onnx"), sets, REFERENCE, None)
        if measured is None:
            return []
        assert measured.everyday is measured.changes[list(measured.changes)[-1]]
        assert measured.to_json()[next(iter(measured.changes))]["regret"] == 0
        return list(measured.changes)

    assert changes(image=np.zeros((1, 8, 8, 3), np.uint8)) == ["grey_level", "jpeg"]
    condition = np.ones((1, 4), np.float32)
    clip = np.zeros((1, 2, 8, 8, 3), np.uint8)
    assert changes(frames=clip, condition=condition) == ["grey_level", "jpeg"]
    assert seen[-2][0]["frames"].max() == 1
    assert (seen[-1][0]["frames"].shape, seen[-1][0]["condition"].min()) == (clip.shape, 1)
    assert changes(waveform=np.zeros((1, 400), np.float32)) == ["noise", "resampled"]
    assert changes(input_ids=np.zeros((1, 4), np.int64)) == []


def test_probabilities_are_those_of_softmax() -> None:
    np.testing.assert_allclose(softmax(VALUES).sum(axis=1), 1, rtol=1e-5)

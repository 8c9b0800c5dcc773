"""Labelled media as the judge: what INT8 gets wrong that float gets right."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile

from convert.errors import LabelsError
from convert.export.numerics import Boxes, FramesInput, StretchedAlpha, WaveformInput
from convert.fidelity.average_precision import TrueBoxes
from convert.gate.labelled import (
    Labelled,
    LabelledSamples,
    labels_digest,
    read_labelled_samples,
    with_float,
)
from convert.gate.rule import Rule, rule_for
from convert.gate.truth import TrueClasses, TrueMasks, TrueObjects
from convert.gate.verdict import describe
from convert.gate.yardstick import through_jpeg
from convert.metrics import LABELLED_LOSS, LABELLED_LOSS_UPPER, Outputs, measure
from convert.pipeline.load import Reference
from convert.pipeline.stages import labelled_notes
from convert.quantize.choose import RequestedPrecision
from convert.recipe import Tolerance
from convert.samples.media import MODALITIES
from convert.samples.media.walkers import GaitClip
from convert.samples.sets import Samples, find_media
from convert.samples.walkers import CALIBRATION, generate_clip
from convert.verify.parity import run_samples
from runtime.artifact.manifest import Letterbox, Resample, Resize, SampleFrames
from runtime.media.images.decode import decode_image
from runtime.media.images.preprocess import preprocess
from tests.convert.gate.answers import SERVED, classes, detector, jittered, logits, noisy
from tests.convert.support import nets
from tests.convert.support.parity import write_float_graph

STRICT = Tolerance(at_least={"top1_agreement": 0.999}, at_most={"probability_distance": 0.001})
VALUES = logits()
REFERENCE = classes(VALUES)
DETECTED = detector()
ONE = np.ones((1, 60))


def labelled(count: int) -> Labelled:
    samples = tuple({"image": np.zeros(1)} for _ in range(count))
    truth = TrueClasses(tuple([0] * count))
    return Labelled(LabelledSamples(Path("media"), samples, truth), {}, np.ones(2))


def rule(count: int = 200) -> Rule:
    return rule_for(STRICT, REFERENCE, labelled=labelled(count))


def test_a_loss_of_one_point_is_allowed_and_more_is_not() -> None:
    metrics = measure(REFERENCE, classes(noisy(VALUES, 0.12))).metrics
    assert rule().violations({**metrics, LABELLED_LOSS: 0.01}) == []
    assert rule().violations({**metrics, LABELLED_LOSS: -0.2}) == []
    assert rule().violations({**metrics, LABELLED_LOSS: 0.02}) == ["labelled_loss 0.0200 > 0.01"]
    assert describe(rule(), {**metrics, LABELLED_LOSS: 0.005, LABELLED_LOSS_UPPER: 0.0123}) == (
        "judged by 200 labelled media: 0.50 points of right answers lost, with 95 % certainty at "
        "most 1.23"
    )


def test_a_graph_that_was_not_measured_on_labelled_media_is_refused() -> None:
    metrics = measure(REFERENCE, REFERENCE).metrics
    assert rule().violations(metrics) == ["labelled_loss cannot be measured on these samples"]


def test_labels_do_not_excuse_flattened_probabilities() -> None:
    metrics = measure(REFERENCE, classes(VALUES * 0.6)).metrics
    reasons = rule().violations({**metrics, LABELLED_LOSS: 0.0})
    assert any(reason.startswith("confidence_shift") for reason in reasons)


def test_too_few_labelled_media_judge_nothing() -> None:
    assert rule(49).labelled is None
    assert rule(50).labelled is not None
    assert LABELLED_LOSS not in rule().search.at_least  # the search cannot measure it


@pytest.mark.parametrize(
    ("count", "tolerance", "precision", "note"),
    [
        (60, STRICT, "auto", "60 media of different origin, enough to judge INT8"),
        (49, STRICT, "int8", "49 media of different origin; needed to judge INT8: 50"),
        (60, None, "auto", "they judge nothing: the weights are untrained"),
        (60, STRICT, "float", "they judge nothing: INT8 is not tried"),
    ],
)
def test_what_becomes_of_labelled_media_is_told(
    count: int, tolerance: Tolerance | None, precision: RequestedPrecision, note: str
) -> None:
    samples = replace(labelled(count).labelled, notes=("2 images are left out: why",))
    loaded = nets.loaded(nets.convolutions(layers=1))
    reference = Reference(nets.recipe(STRICT), loaded, nets.sample_sets(), tolerance, samples)
    first, last = labelled_notes(reference, precision)
    assert first == "2 images are left out: why"
    assert last.endswith(note)
    assert list(labelled_notes(replace(reference, labelled=None), precision)) == []


def test_labelled_boxes_and_masks_replace_what_estimates_them() -> None:
    boxes = rule_for(STRICT, DETECTED, nms=SERVED, labelled=labelled(60)).gate
    assert boxes is not None
    assert set(boxes.at_most) == {LABELLED_LOSS, "score_shift", *STRICT.at_most}
    assert {"sure_iou_mean", "score_correlation"} <= set(boxes.at_least)
    assert "sure_recall" not in boxes.at_least
    recipe = Tolerance({"iou_mean": 0.999}, {"mae": 0.01})
    alpha: Outputs = {"alpha": np.zeros((60, 4, 4), np.float32)}
    masks = rule_for(recipe, alpha, labelled=labelled(60))
    assert masks.gate == Tolerance({}, {LABELLED_LOSS: 0.01, "mae": 0.01})
    few = rule_for(recipe, alpha, labelled=labelled(49))
    assert few == Rule(recipe)


def test_what_is_not_finite_is_not_right() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [np.nan, 0.5]], np.float32)
    truth = TrueClasses((0, 0, 0))
    weights = np.array([[1, 1, 1], [2, 1, 1]], np.float64)
    quality = truth.quality({"probabilities": probabilities}, weights)
    assert quality.tolist() == [pytest.approx(1 / 3), pytest.approx(2 / 4)]


def test_boxes_are_judged_by_what_is_served() -> None:
    is_served = DETECTED["scores"].max(axis=2) > SERVED.score_threshold
    truth = TrueObjects(
        tuple(
            TrueBoxes(boxes[served], scores[served].argmax(axis=1))
            for boxes, scores, served in zip(
                DETECTED["boxes_xyxy"], DETECTED["scores"], is_served, strict=True
            )
        ),
        SERVED,
    )

    def quality(outputs: Outputs) -> float:
        return float(truth.quality(outputs, ONE)[0])

    scores = DETECTED["scores"]
    assert quality(DETECTED) == pytest.approx(1)
    assert quality(jittered(DETECTED, px=0.3, score=0.02)) > 0.95
    assert quality({**DETECTED, "scores": scores[..., [1, 0, 2]]}) < 0.5
    assert quality({**DETECTED, "boxes_xyxy": DETECTED["boxes_xyxy"] + 20}) < 0.1


def test_masks_are_judged_by_their_overlap() -> None:
    masks = np.zeros((2, 8, 8), bool)
    masks[:, :4] = True
    truth = TrueMasks(masks)
    alpha = masks.astype(np.float32)
    alpha[1, 2:4] = 0.4
    weights = np.array([[1, 1], [1, 0]], np.float64)
    assert truth.quality({"alpha": alpha}, weights).tolist() == [0.75, 1]


def write(path: Path, seed: int, height: int = 48, width: int = 48) -> Path:
    path.parent.mkdir(exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    cv2.imwrite(str(path), cv2.resize(noise, (width, height)))
    return path


def test_media_are_read_by_folder_and_those_that_guide_are_left_out(tmp_path: Path) -> None:
    loaded = nets.loaded(nets.convolutions(layers=2))
    first, second, third, _ = loaded.labels
    for number in range(4):
        write(tmp_path / first.upper() / f"{number}.png", number)
        write(tmp_path / third / f"{number}.png", 20 + number)
        write(tmp_path / second / f"{number}.png", 10 + number)
    write(tmp_path / "other" / "0.png", 30)
    write(tmp_path / second / "copy.png", 10)
    recipe = nets.recipe(STRICT)
    media = find_media(tmp_path, recipe)
    samples = read_labelled_samples(media, recipe, loaded, guides=())
    assert isinstance(samples.truth, TrueClasses)
    assert sorted(samples.truth.classes) == [0] * 4 + [1] * 4 + [2] * 4
    guides = tuple(
        {"image": preprocess(decode_image(path.read_bytes()), loaded.preprocess)[np.newaxis]}
        for path in (tmp_path / second).iterdir()
    )
    with pytest.raises(LabelsError, match="4 labelled images, all of class 1; needed: of two"):
        read_labelled_samples(find_media(tmp_path / second, recipe), recipe, loaded, guides=())
    rest = read_labelled_samples(media, recipe, loaded, guides=guides)
    assert isinstance(rest.truth, TrueClasses)
    assert sorted(rest.truth.classes) == [0] * 4 + [2] * 4
    with pytest.raises(LabelsError, match=r"no images, besides .*, in folders named as classes: "):
        read_labelled_samples(find_media(tmp_path / "other", recipe), recipe, loaded, guides=())


def test_media_that_are_left_out_are_told(tmp_path: Path) -> None:
    loaded = nets.loaded(nets.convolutions(layers=2))
    for number in range(4):
        write(tmp_path / loaded.labels[number % 2] / f"{number}.png", number)
    write(tmp_path / "unknown" / "4.png", 4)
    write(tmp_path / "5.png", 5)
    (tmp_path / loaded.labels[0] / "broken.png").write_bytes(b"no image")
    path = tmp_path / loaded.labels[1] / "1.png"
    copy = through_jpeg(decode_image(path.read_bytes()))
    cv2.imwrite(str(path.with_name("6.png")), copy[..., ::-1])
    recipe = nets.recipe(STRICT)
    media = find_media(tmp_path, recipe)
    guide = preprocess(
        decode_image((tmp_path / loaded.labels[0] / "0.png").read_bytes()), loaded.preprocess
    )
    samples = read_labelled_samples(media, recipe, loaded, guides=({"image": guide[np.newaxis]},))
    assert len(samples.samples) == 3
    unlabelled, unreadable, guiding, alike = samples.notes
    assert unlabelled == (
        "2 images are left out: they are in folders that name no class of the model "
        f"({tmp_path.name}, unknown)"
    )
    assert unreadable.startswith("1 images are left out: they cannot be read (broken.png: ")
    assert guiding == "1 images are left out: they guide the search"
    assert alike == "1 images are left out: they look like others, and are no evidence of their own"
    for name in loaded.labels[:2]:
        shutil.rmtree(tmp_path / name)
    rest = find_media(tmp_path, recipe)
    with pytest.raises(LabelsError, match=r"named as classes: .*; 2 images are left out: they are"):
        read_labelled_samples(rest, recipe, loaded, guides=())


def test_variants_of_media_that_guide_do_not_judge(tmp_path: Path) -> None:
    loaded = nets.loaded(nets.convolutions(layers=2))
    for number in range(3):
        path = write(tmp_path / loaded.labels[number % 2] / f"{number}.png", number)
    recipe = nets.recipe(STRICT)
    media = find_media(tmp_path, recipe)
    variant = through_jpeg(preprocess(decode_image(path.read_bytes()), loaded.preprocess))
    guides: Samples = ({"image": variant[np.newaxis]},)
    assert len(read_labelled_samples(media, recipe, loaded, guides=()).samples) == 3
    assert len(read_labelled_samples(media, recipe, loaded, guides=guides).samples) == 2


def test_sounds_that_guide_do_not_judge(tmp_path: Path) -> None:
    step = Resample(sampling_rate=16_000)
    loaded = replace(
        nets.loaded(nets.convolutions(layers=1)),
        input=WaveformInput(standardize=False),
        preprocess=(step,),
        labels=("calm", "loud"),
        task="audio-classification",
    )
    recipe = replace(nets.recipe(STRICT), task="audio-classification", media="voice")
    for number, label in enumerate(("calm", "loud", "loud")):
        tone = np.sin(np.arange(1600) * (0.1 + number / 100)).astype(np.float32) / 2
        (tmp_path / label).mkdir(exist_ok=True)
        soundfile.write(tmp_path / label / f"{number}.wav", tone, 16_000)
    media = find_media(tmp_path, recipe)
    everything = read_labelled_samples(media, recipe, loaded, guides=())
    assert isinstance(everything.truth, TrueClasses)
    loud = everything.truth.classes.index(1)
    rest = read_labelled_samples(media, recipe, loaded, guides=everything.samples[loud : loud + 1])
    assert len(everything.samples) == 3
    assert isinstance(rest.truth, TrueClasses)
    assert sorted(rest.truth.classes) == [0, 1]


def test_clips_are_labelled_by_folder_and_have_conditions(tmp_path: Path) -> None:
    frames, side = 16, 224
    loaded = replace(
        nets.loaded(nets.convolutions(layers=1)),
        input=FramesInput(frames, side, side, condition=8),
        preprocess=(SampleFrames(frames), Resize("linear", height=side, width=side)),
        labels=("Healthy", "ataxic"),
        task="video-classification",
    )
    recipe = replace(nets.recipe(STRICT), task="video-classification", media="walker")
    for number, label in enumerate(loaded.labels):
        clip = generate_clip(CALIBRATION, number).frames
        path = tmp_path / label.lower() / f"{number}.avi"
        path.parent.mkdir()
        path.write_bytes(MODALITIES["walker"].encode(GaitClip(clip)))
    (tmp_path / "healthy" / "broken.mp4").write_bytes(b"no clip")
    media = find_media(tmp_path, recipe)
    samples = read_labelled_samples(media, recipe, loaded, guides=())
    assert isinstance(samples.truth, TrueClasses)
    assert sorted(samples.truth.classes) == [0, 1]
    assert samples.samples[0]["frames"].shape == (1, frames, side, side, 3)
    (note,) = samples.notes
    assert note.startswith("1 clips are left out: they cannot be read (broken.mp4: ")


def test_a_graph_is_compared_with_float_and_with_the_labels(tmp_path: Path) -> None:
    loaded = nets.loaded(nets.convolutions(layers=2))
    float_path, other = tmp_path / "float.onnx", tmp_path / "other.onnx"
    write_float_graph(loaded, float_path)
    write_float_graph(nets.loaded(nets.convolutions(layers=3)), other)
    samples = nets.sample_sets(test=12).test
    (answer,) = set(run_samples(float_path, samples)["probabilities"].argmax(axis=1).tolist())
    truth = (answer,) * 8 + ((answer + 1) % 4,) * 4  # untrained: it answers one class always
    judge = with_float(LabelledSamples(tmp_path, samples, TrueClasses(truth)), float_path)
    same = judge.measure(float_path)
    assert (same[LABELLED_LOSS], same["regret"]) == (0, 0)
    assert same[LABELLED_LOSS_UPPER] == pytest.approx(1 - 0.05 ** (1 / 12))  # no failure in 12
    lost = judge.measure(other)
    right = run_samples(other, samples)["probabilities"].argmax(axis=1) == np.array(truth)
    assert lost[LABELLED_LOSS] == pytest.approx(8 / 12 - right.mean())
    assert lost[LABELLED_LOSS_UPPER] > lost[LABELLED_LOSS] > 0
    wrong = TrueClasses(tuple((label + 2) % 4 for label in truth))
    with pytest.raises(LabelsError, match=r"float reaches 0\.00 of right answers on 12 labelled"):
        with_float(LabelledSamples(tmp_path, samples, wrong), float_path)


def test_boxes_of_files_lie_where_the_graph_answers(tmp_path: Path) -> None:
    loaded = replace(
        nets.loaded(nets.convolutions(layers=1)),
        head=Boxes(),
        preprocess=(Letterbox(height=32, width=32, interpolation="linear"),),
        suppression=SERVED,
        task="object-detection",
    )
    recipe = replace(nets.recipe(STRICT), task="object-detection")
    write(tmp_path / "images/a.png", 1, height=32, width=64)
    write(tmp_path / "images/unlabelled.png", 2)
    file = tmp_path / "labels/a.txt"
    file.parent.mkdir()
    file.write_text("1 0.5 0.5 0.5 1\n")
    media = find_media(tmp_path, recipe)
    samples = read_labelled_samples(media, recipe, loaded, guides=())
    assert isinstance(samples.truth, TrueObjects)
    (boxes,) = samples.truth.boxes
    np.testing.assert_allclose(boxes.boxes_xyxy, [[8, 8, 24, 24]])
    assert boxes.classes.tolist() == [1]
    (note,) = samples.notes
    assert note == (
        "1 images are left out: they have no file of boxes (unlabelled.png); an empty one says "
        "that an image shows nothing"
    )
    before = labels_digest(media, "object-detection")
    file.write_text("0 0.5 0.5 0.5 1\n")
    assert labels_digest(media, "object-detection") != before
    file.write_text("9 0.5 0.5 0.5 1\n")
    with pytest.raises(LabelsError, match=r"a\.txt, line 1: the class is '9'"):
        read_labelled_samples(media, recipe, loaded, guides=())
    os.truncate(file, 2**30)  # refused before a byte of it is read or hashed
    for read in (
        lambda: labels_digest(media, "object-detection"),
        lambda: read_labelled_samples(media, recipe, loaded, guides=()),
    ):
        with pytest.raises(LabelsError, match="1073741824 bytes of labels; allowed: 1000000"):
            read()
    file.unlink()
    with pytest.raises(LabelsError, match=r"no images, .* with boxes: images/NAME.jpg and labels/"):
        read_labelled_samples(media, recipe, loaded, guides=())


def test_masks_pass_the_steps_of_their_images(tmp_path: Path) -> None:
    loaded = replace(
        nets.loaded(nets.convolutions(layers=1)),
        head=StretchedAlpha(),
        preprocess=(Letterbox(height=32, width=32, interpolation="linear", fill=0),),
        task="image-segmentation",
    )
    recipe = replace(nets.recipe(STRICT), task="image-segmentation")
    write(tmp_path / "images/a.png", 1, height=32, width=64)
    mask = np.zeros((32, 64, 3), np.uint8)
    mask[:, 32:] = 255
    (tmp_path / "masks").mkdir()
    cv2.imwrite(str(tmp_path / "masks/a.png"), mask)
    media = find_media(tmp_path, recipe)
    samples = read_labelled_samples(media, recipe, loaded, guides=())
    assert isinstance(samples.truth, TrueMasks)
    expected = np.zeros((32, 32), bool)
    expected[8:24, 16:] = True
    assert (samples.truth.masks == expected).all()
    before = labels_digest(media, "image-segmentation")
    cv2.imwrite(str(tmp_path / "masks/a.png"), 255 - mask)
    assert labels_digest(media, "image-segmentation") != before
    os.truncate(tmp_path / "masks/a.png", 2**30)
    for read in (
        lambda: labels_digest(media, "image-segmentation"),
        lambda: read_labelled_samples(media, recipe, loaded, guides=()),
    ):
        with pytest.raises(LabelsError, match="1073741824 bytes of labels; allowed: 100000000"):
            read()
    assert samples.notes == ()  # the mask is no medium without a mask
    (tmp_path / "masks/a.png").unlink()
    with pytest.raises(
        LabelsError, match=r"no images, .* with masks: .*; 1 images are left out: they have no mask"
    ):
        read_labelled_samples(media, recipe, loaded, guides=())

"""Faces found, cut out and voted on, by tiny models whose answers are computed by hand."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from runtime import Model, load
from runtime.arrays import Image
from runtime.errors import DecodeError, InputError
from runtime.results import Classification
from runtime.tasks import face_emotion as task
from runtime.tasks.augmentation import VIEWS, Tta
from runtime.tasks.ensemble import Ensemble, build_ensemble
from runtime.tasks.face_emotion import FaceEmotion, Options, face_emotion
from tests.support.artifacts import EMOTIONS, write_artifact

Models = Mapping[str, Model]

DETECTOR, VOTING_DETECTOR = "face_detector_yunet", "face_emotion_yolov8n"
FIRST, SECOND = "face_emotion_efficientnet_b3", "face_emotion_arcface"
WEIGHTS = ((VOTING_DETECTOR, 0.4), (FIRST, 0.4), (SECOND, 0.2))
LABELS = ("happy", "sad", "surprise")
CELL = 16  # px: the detectors see 4 x 4 cells of an image of 64 x 64 px
RED, GREEN = (204, 51, 102), (20, 204, 51)  # faces to both detectors, and to the voting one only


def picture(*cells: tuple[int, int, tuple[int, int, int]]) -> Image:
    """Return an image of 64 x 64 px, black except for cells at (row, column)."""
    image = np.zeros((64, 64, 3), np.uint8)
    for row, column, colour in cells:
        top, left = row * CELL, column * CELL
        image[top : top + CELL, left : left + CELL] = colour
    return image


def predict(model: Model, image: Image) -> list[float]:
    """Return the model's probabilities of happy, sad and surprise."""
    result = model.predict(np.ascontiguousarray(image))
    assert isinstance(result, Classification)
    by_label = dict(zip(result.labels, result.probabilities.tolist(), strict=True))
    names = LABELS if "happy" in by_label else ("happiness", "sadness", "surprised")
    return [by_label[name] for name in names]


def answer(
    models: Models, image: Image | bytes, ensemble: Ensemble | None = None, **options: object
) -> FaceEmotion:
    """Run the task with the detector; the ensemble is by default that of WEIGHTS."""
    ensemble = ensemble or build_ensemble(WEIGHTS, models)
    task_options = Options(**options)  # type: ignore[arg-type]  # by name, as a test needs them
    return face_emotion(image, ensemble, detector=models[DETECTOR], options=task_options)


def probabilities(result: FaceEmotion, face: int = 0) -> list[float]:
    emotion = result.faces[face].emotion
    assert emotion is not None
    return [float(value) for value in emotion.probabilities]


def statuses(result: FaceEmotion, face: int = 0) -> list[str]:
    return [member.status for member in result.faces[face].votes]


def test_three_members_vote_as_computed_by_hand(models: Models) -> None:
    image = picture((1, 2, RED))
    result = answer(models, image, margin=0.25, early_exit=False)
    # the cell of 16 px with a margin of 4 px
    crop = image[12:36, 28:52]
    by_boxes = [204 / 357, 51 / 357, 102 / 357]
    first, second = predict(models[FIRST], crop), predict(models[SECOND], crop)
    expected = [
        0.4 * a + 0.4 * b + 0.2 * c for a, b, c in zip(by_boxes, first, second, strict=True)
    ]
    assert result.labels == ("Happiness", "Sadness", "Surprised")  # of the first heaviest member
    assert probabilities(result) == pytest.approx(expected, abs=1e-6)  # float32 in the graphs
    face = result.to_json()["faces"][0]
    assert face["box"] == {"x1": 32, "y1": 16, "x2": 48, "y2": 32}
    assert face["crop"] == {"x1": 28, "y1": 12, "x2": 52, "y2": 36}
    assert face["score"] == pytest.approx(0.8, abs=1e-6)
    votes = {member["model"]: member for member in face["members"]}
    assert [votes[name]["share"] for name, _ in WEIGHTS] == pytest.approx([0.4, 0.4, 0.2])
    assert votes[VOTING_DETECTOR]["probabilities"]["Sadness"] == pytest.approx(51 / 357, abs=1e-6)
    assert votes[SECOND]["probabilities"]["Surprised"] == pytest.approx(second[2], abs=1e-6)
    assert (result.found_by, result.faces_found) == (DETECTOR, 1)
    assert {model.spec.id for model in result.models} == {DETECTOR, VOTING_DETECTOR, FIRST, SECOND}


def test_without_a_detector_a_model_classifies_the_whole_image(models: Models) -> None:
    image = picture((0, 0, (255, 255, 255)), (1, 1, RED))
    alone = models["face_emotion_xception"]
    ensemble = build_ensemble((("face_emotion_xception", 1.0),), models)
    result = face_emotion(image, ensemble)
    content, plain = result.to_json(), dict[str, Any](alone.predict(image).to_json())
    assert content["label"] == plain["label"]
    assert content["confidence"] == pytest.approx(plain["confidence"], abs=1e-7)
    assert content["probabilities"] == pytest.approx(plain["probabilities"], abs=1e-7)
    assert (content["face_found"], content["found_by"], content["faces_found"]) == (False, None, 0)
    assert content["faces"][0]["box"] is None
    assert content["faces"][0]["crop"] == {"x1": 0, "y1": 0, "x2": 64, "y2": 64}
    assert result.lacks_detector
    assert not face_emotion(image, ensemble, options=Options(crop="none")).lacks_detector


def test_a_voting_detector_abstains_without_a_box(models: Models) -> None:
    image = picture((2, 2, (60, 60, 60)))  # no face to either detector
    result = answer(models, image)
    first, second = predict(models[FIRST], image), predict(models[SECOND], image)
    expected = [2 / 3 * a + 1 / 3 * b for a, b in zip(first, second, strict=True)]
    assert statuses(result) == ["abstained", "voted", "voted"]
    assert not result.lacks_detector  # two detectors have looked
    assert probabilities(result) == pytest.approx(expected, abs=1e-6)
    assert result.lead == FIRST
    members = result.to_json()["faces"][0]["members"]
    assert [member["share"] for member in members] == pytest.approx([0, 2 / 3, 1 / 3])
    assert "label" not in members[0]
    assert VOTING_DETECTOR in {model.spec.id for model in result.models}


def test_a_voting_detector_finds_a_face_that_the_detector_misses(models: Models) -> None:
    result = answer(models, picture((0, 3, GREEN)))
    assert (result.found_by, result.faces_found) == (VOTING_DETECTOR, 1)
    box = result.faces[0].region.box_xyxy
    assert box is not None
    assert box.tolist() == [48, 0, 64, 16]
    assert result.faces[0].region.crop.right == 64
    assert statuses(result)[0] == "voted"


def test_boxes_of_two_emotions_at_one_place_are_one_face(models: Models) -> None:
    # the second box is the sadder one; suppression by class would keep both
    result = answer(models, picture((2, 1, (150, 145, 0))), faces="all")
    assert (result.found_by, result.faces_found) == (VOTING_DETECTOR, 1)
    vote = result.faces[0].votes[0].probabilities
    assert vote is not None
    assert vote.tolist() == pytest.approx([150 / 295, 145 / 295, 0], abs=1e-6)


def test_crop_none_takes_the_whole_image_for_the_face(models: Models) -> None:
    image = picture((1, 1, RED), (2, 3, GREEN))
    result = answer(models, image, crop="none", early_exit=False)
    assert (result.found_by, result.faces_found) == (None, 0)
    assert DETECTOR not in {model.spec.id for model in result.models}
    first = result.faces[0].votes[1]
    assert first.probabilities is not None
    assert first.probabilities.tolist() == pytest.approx(predict(models[FIRST], image), abs=1e-6)
    # each box of the voting detector lies on the face, so it votes with its best one
    assert statuses(result) == ["voted"] * 3


def test_without_any_vote_there_is_no_label(models: Models) -> None:
    result = answer(models, picture(), build_ensemble(((VOTING_DETECTOR, 1.0),), models))
    content = result.to_json()
    assert (content["label"], content["confidence"], content["probabilities"]) == (None, None, {})
    assert statuses(result) == ["abstained"]
    assert result.lead == VOTING_DETECTOR


def test_all_faces_are_answered_on_request(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    image = picture((0, 0, RED), (1, 2, RED), (3, 3, (250, 0, 0)))
    assert len(answer(models, image).faces) == 1
    result = answer(models, image, faces="all")
    assert (len(result.faces), result.faces_found) == (3, 3)
    best = result.faces[0].region.box_xyxy  # of equal areas the best score
    assert best is not None
    assert best.tolist() == [48, 48, 64, 64]
    one_by_one = [answer(models, picture((row, column, RED))) for row, column in ((0, 0), (1, 2))]
    for face, alone in zip((1, 2), one_by_one, strict=True):
        assert probabilities(result, face) == pytest.approx(probabilities(alone), abs=1e-6)
    monkeypatch.setattr(task, "MOST_FACES", 2)
    few = answer(models, image, faces="all")
    assert (len(few.faces), few.faces_found) == (2, 3)


def test_early_exit_skips_members_that_cannot_change_the_label(models: Models) -> None:
    image = picture((1, 1, (255, 10, 10)))  # 0.93 happy
    ensemble = build_ensemble(((VOTING_DETECTOR, 1.0), (FIRST, 0.3), (SECOND, 0.2)), models)
    early, full = answer(models, image, ensemble), answer(models, image, ensemble, early_exit=False)
    assert statuses(early) == ["voted", "not asked", "not asked"]
    assert statuses(full) == ["voted"] * 3
    assert early.faces[0].emotion is not None
    assert full.faces[0].emotion is not None
    assert early.faces[0].emotion.label == full.faces[0].emotion.label == "Happiness"
    assert {model.spec.id for model in early.models} == {DETECTOR, VOTING_DETECTOR}
    assert early.to_json()["faces"][0]["members"][1] == {
        "model": FIRST,
        "status": "not asked",
        "weight": 0.3,
        "share": 0.0,
    }


def test_early_exit_decides_each_face_by_itself(models: Models) -> None:
    image = picture((0, 0, (255, 5, 5)), (3, 3, (160, 150, 155)))
    ensemble = build_ensemble(((VOTING_DETECTOR, 1.0), (FIRST, 0.5)), models)
    result = answer(models, image, ensemble, faces="all")
    assert statuses(result, 0) == ["voted", "not asked"]
    assert statuses(result, 1) == ["voted", "voted"]


@pytest.mark.parametrize("tta", ["flip", "full"])
def test_views_are_averaged(models: Models, tta: Tta) -> None:
    image = np.random.default_rng(3).integers(0, 256, (40, 50, 3), np.uint8)
    ensemble = build_ensemble(((FIRST, 1.0),), models)
    result = face_emotion(image, ensemble, options=Options(tta=tta))
    rows = [predict(models[FIRST], view.apply(image)) for view in VIEWS[tta]]
    assert probabilities(result) == pytest.approx(np.mean(rows, axis=0).tolist(), abs=1e-6)
    again = face_emotion(image, ensemble, options=Options(tta=tta))
    assert probabilities(again) == probabilities(result)
    plain = face_emotion(image, ensemble)
    assert probabilities(plain) != pytest.approx(probabilities(result), abs=1e-3)


def test_with_flip_a_mirrored_image_has_the_same_answer(models: Models) -> None:
    image = picture((1, 2, RED))
    image[16:32, 32:40] = (255, 20, 20)  # the face's left half
    pair = (image, image[:, ::-1].copy())
    flip = [answer(models, one, tta="flip", margin=0.25, early_exit=False) for one in pair]
    assert probabilities(flip[0]) == pytest.approx(probabilities(flip[1]), abs=1e-6)
    plain = [answer(models, one, margin=0.25, early_exit=False) for one in pair]
    assert probabilities(plain[0]) != pytest.approx(probabilities(plain[1]), abs=1e-4)


def test_a_voting_detector_sees_each_face_in_each_view(models: Models) -> None:
    ensemble = build_ensemble(((VOTING_DETECTOR, 1.0),), models)
    # mirrored, each face lies at the place of the other
    image = picture((1, 0, RED), (1, 3, (180, 180, 0)))
    flip = answer(models, image, ensemble, tta="flip", faces="all")
    assert probabilities(flip, 0) == pytest.approx([204 / 357, 51 / 357, 102 / 357], abs=1e-6)
    assert probabilities(flip, 1) == pytest.approx([0.5, 0.5, 0.0], abs=1e-6)


def test_the_detector_that_found_the_face_votes_in_the_other_views_too(models: Models) -> None:
    ensemble = build_ensemble(((VOTING_DETECTOR, 1.0),), models)
    image = picture((1, 1, (250, 200, 0)))
    plain = face_emotion(image, ensemble)
    assert plain.found_by == VOTING_DETECTOR
    assert probabilities(plain)[0] == pytest.approx(250 / 450, abs=1e-6)
    full = face_emotion(image, ensemble, options=Options(tta="full"))
    # brighter, the levels are 255 and 250; turned, the edges of the cell are a little darker
    expected = (5 * 250 / 450 + 255 / 505) / 6
    assert probabilities(full)[0] == pytest.approx(expected, abs=0.003)


def test_views_run_one_by_one_if_the_model_is_not_batch_invariant(
    models: Models, tmp_path: Path
) -> None:
    alone = load(write_artifact(tmp_path, EMOTIONS, batch_invariant=False))
    image = picture((1, 1, RED))
    results = [
        face_emotion(image, build_ensemble(((FIRST, 1.0),), source), options=Options(tta="full"))
        for source in (models, {FIRST: alone})
    ]
    assert probabilities(results[0]) == pytest.approx(probabilities(results[1]), abs=1e-7)


def test_the_answer_names_the_models_that_cannot_vote(models: Models) -> None:
    ensemble = build_ensemble(((FIRST, 0.5), (DETECTOR, 1.0)), models)
    result = answer(models, picture((1, 1, RED)), ensemble)
    assert result.to_json()["left_out"] == {DETECTOR: "detects no emotions: its labels are others"}


def test_a_file_and_its_pixels_have_the_same_answer(models: Models) -> None:
    image = picture((1, 1, RED))
    file = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()
    assert answer(models, file).to_json() == answer(models, image).to_json()
    with pytest.raises(DecodeError):
        answer(models, b"no image")


def test_a_classifier_is_refused_as_detector(models: Models) -> None:
    ensemble = build_ensemble((("face_emotion_xception", 1.0),), models)
    with pytest.raises(InputError, match="is for image-classification; allowed: object-detection"):
        face_emotion(picture(), ensemble, detector=models["face_emotion_xception"])


def test_other_arrays_and_margins_out_of_range_are_refused(models: Models) -> None:
    for image in (np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.uint8)):
        with pytest.raises(InputError, match=r"allowed: uint8 \(H, W, 3\), RGB"):
            answer(models, image)  # type: ignore[arg-type]  # wrong on purpose
    for margin in (-0.1, 1.01, float("nan")):
        with pytest.raises(InputError, match="allowed: 0 to 1"):
            answer(models, picture(), margin=margin)

"""Faces found, cut out and voted on, by tiny models whose answers can be computed by hand."""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from runtime import Model, load
from runtime.errors import DecodeError, InputError
from runtime.results import Classification
from runtime.tasks import face_emotion as task
from runtime.tasks.augmentation import VIEWS, Tta
from runtime.tasks.ensemble import Ensemble, build_ensemble
from runtime.tasks.face_emotion import FaceEmotion, Options, face_emotion
from tests.support.artifacts import (
    CLASSIFIER,
    EMBEDDING,
    EMOTION_BOXES,
    EMOTIONS,
    FACES,
    OTHER_EMOTIONS,
    TENSORS,
    write_artifact,
)

Image = NDArray[np.uint8]
Models = Mapping[str, Model]

FINDER, BOXES = "face_detector_yunet", "face_emotion_yolov8n"
FIRST, SECOND = "face_emotion_efficientnet_b3", "face_emotion_arcface"
WEIGHTS = ((BOXES, 0.4), (FIRST, 0.4), (SECOND, 0.2))
LABELS = ("happy", "sad", "surprise")
CELL = 16  # px: the detectors look at 4 x 4 cells of a picture of 64 x 64 px
RED, GREEN = (204, 51, 102), (20, 204, 51)  # a face for both detectors, and for the members' alone


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    root = tmp_path_factory.mktemp("faces")
    graphs = (FACES, EMOTION_BOXES, EMOTIONS, OTHER_EMOTIONS, CLASSIFIER, EMBEDDING, TENSORS)
    loaded = [load(write_artifact(root, graph)) for graph in graphs]
    return {model.spec.id: model for model in loaded}


def picture(*cells: tuple[int, int, tuple[int, int, int]]) -> Image:
    """64 x 64 px, dark but for cells at (row, column)."""
    image = np.zeros((64, 64, 3), np.uint8)
    for row, column, colour in cells:
        top, left = row * CELL, column * CELL
        image[top : top + CELL, left : left + CELL] = colour
    return image


def said(model: Model, image: Image) -> list[float]:
    """Probabilities of happy, sad and surprise."""
    result = model.predict(np.ascontiguousarray(image))
    assert isinstance(result, Classification)
    by_label = dict(zip(result.labels, result.probabilities.tolist(), strict=True))
    names = LABELS if "happy" in by_label else ("happiness", "sadness", "surprised")
    return [by_label[name] for name in names]


def ask(
    models: Models, image: Image | bytes, panel: Ensemble | None = None, **options: object
) -> FaceEmotion:
    asked = Options(**options)  # type: ignore[arg-type]  # what a test asks for, by name
    panel = panel or build_ensemble(WEIGHTS, models)
    return face_emotion(image, panel, detector=models[FINDER], options=asked)


def shares(result: FaceEmotion, face: int = 0) -> list[float]:
    emotion = result.faces[face].emotion
    assert emotion is not None
    return [float(value) for value in emotion.probabilities]


def statuses(result: FaceEmotion, face: int = 0) -> list[str]:
    return [ballot.status for ballot in result.faces[face].votes]


def test_three_members_vote_as_computed_by_hand(models: Models) -> None:
    image = picture((1, 2, RED))
    result = ask(models, image, margin=0.25, early_exit=False)
    # the cell of 16 px, and 4 px around it
    crop = image[12:36, 28:52]
    by_boxes = [204 / 357, 51 / 357, 102 / 357]
    first, second = said(models[FIRST], crop), said(models[SECOND], crop)
    wanted = [0.4 * a + 0.4 * b + 0.2 * c for a, b, c in zip(by_boxes, first, second, strict=True)]
    assert result.labels == ("Happiness", "Sadness", "Surprised")  # of the first of the heaviest
    assert shares(result) == pytest.approx(wanted, abs=1e-6)  # float32 in the graphs
    face = result.to_json()["faces"][0]
    assert face["box"] == {"x1": 32, "y1": 16, "x2": 48, "y2": 32}
    assert face["crop"] == {"x1": 28, "y1": 12, "x2": 52, "y2": 36}
    assert face["score"] == pytest.approx(0.8, abs=1e-6)
    votes = {member["model"]: member for member in face["members"]}
    assert [votes[name]["share"] for name, _ in WEIGHTS] == pytest.approx([0.4, 0.4, 0.2])
    assert votes[BOXES]["probabilities"]["Sadness"] == pytest.approx(51 / 357, abs=1e-6)
    assert votes[SECOND]["probabilities"]["Surprised"] == pytest.approx(second[2], abs=1e-6)
    assert (result.found_by, result.faces_found) == (FINDER, 1)
    assert {model.spec.id for model in result.models} == {FINDER, BOXES, FIRST, SECOND}


def test_without_a_detector_one_model_judges_the_whole_picture(models: Models) -> None:
    image = picture((0, 0, (255, 255, 255)), (1, 1, RED))
    alone = models["face_emotion_xception"]
    panel = build_ensemble((("face_emotion_xception", 1.0),), models)
    result = face_emotion(image, panel)
    content, plain = result.to_json(), alone.predict(image).to_json()
    assert content["label"] == plain["label"]
    assert content["confidence"] == pytest.approx(plain["confidence"], abs=1e-7)
    assert content["probabilities"] == pytest.approx(plain["probabilities"], abs=1e-7)
    assert (content["face_found"], content["found_by"], content["faces_found"]) == (False, None, 0)
    assert content["faces"][0]["box"] is None
    assert content["faces"][0]["crop"] == {"x1": 0, "y1": 0, "x2": 64, "y2": 64}


def test_a_member_that_detects_abstains_without_a_box(models: Models) -> None:
    image = picture((2, 2, (60, 60, 60)))  # a face to nobody
    result = ask(models, image)
    first, second = said(models[FIRST], image), said(models[SECOND], image)
    wanted = [2 / 3 * a + 1 / 3 * b for a, b in zip(first, second, strict=True)]
    assert statuses(result) == ["abstained", "voted", "voted"]
    assert shares(result) == pytest.approx(wanted, abs=1e-6)
    assert result.lead == FIRST
    members = result.to_json()["faces"][0]["members"]
    assert [member["share"] for member in members] == pytest.approx([0, 2 / 3, 1 / 3])
    assert "label" not in members[0]
    assert BOXES in {model.spec.id for model in result.models}


def test_where_the_detector_finds_none_a_member_may(models: Models) -> None:
    result = ask(models, picture((0, 3, GREEN)))
    assert (result.found_by, result.faces_found) == (BOXES, 1)
    box = result.faces[0].region.box_xyxy
    assert box is not None
    assert box.tolist() == [48, 0, 64, 16]
    assert result.faces[0].region.crop.right == 64
    assert statuses(result)[0] == "voted"


def test_boxes_of_several_emotions_are_one_face(models: Models) -> None:
    # its second box is the sadder one; by class, both would stay
    result = ask(models, picture((2, 1, (150, 145, 0))), faces="all")
    assert (result.found_by, result.faces_found) == (BOXES, 1)
    voted = result.faces[0].votes[0].probabilities
    assert voted is not None
    assert voted.tolist() == pytest.approx([150 / 295, 145 / 295, 0], abs=1e-6)


def test_the_whole_picture_is_the_face_on_request(models: Models) -> None:
    image = picture((1, 1, RED), (2, 3, GREEN))
    result = ask(models, image, crop="none", early_exit=False)
    assert (result.found_by, result.faces_found) == (None, 0)
    assert FINDER not in {model.spec.id for model in result.models}
    first = result.faces[0].votes[1]
    assert first.probabilities is not None
    assert first.probabilities.tolist() == pytest.approx(said(models[FIRST], image), abs=1e-6)
    # any of its own boxes is on the face, and the best one counts: 204 of 357 or of 275, equals
    assert statuses(result) == ["voted"] * 3


def test_where_all_abstain_there_is_no_label(models: Models) -> None:
    result = ask(models, picture(), build_ensemble(((BOXES, 1.0),), models))
    content = result.to_json()
    assert (content["label"], content["confidence"], content["probabilities"]) == (None, None, {})
    assert statuses(result) == ["abstained"]
    assert result.lead == BOXES


def test_all_faces_on_request(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    image = picture((0, 0, RED), (1, 2, RED), (3, 3, (250, 0, 0)))
    assert len(ask(models, image).faces) == 1
    result = ask(models, image, faces="all")
    assert (len(result.faces), result.faces_found) == (3, 3)
    best = result.faces[0].region.box_xyxy  # of equal size: the surest
    assert best is not None
    assert best.tolist() == [48, 48, 64, 64]
    one_by_one = [ask(models, picture((row, column, RED))) for row, column in ((0, 0), (1, 2))]
    for face, alone in zip((1, 2), one_by_one, strict=True):
        assert shares(result, face) == pytest.approx(shares(alone), abs=1e-6)
    monkeypatch.setattr(task, "MOST_FACES", 2)
    few = ask(models, image, faces="all")
    assert (len(few.faces), few.faces_found) == (2, 3)


def test_who_cannot_change_the_label_is_not_asked(models: Models) -> None:
    image = picture((1, 1, (255, 10, 10)))  # 0.93 happy
    panel = build_ensemble(((BOXES, 1.0), (FIRST, 0.3), (SECOND, 0.2)), models)
    early, full = ask(models, image, panel), ask(models, image, panel, early_exit=False)
    assert statuses(early) == ["voted", "not asked", "not asked"]
    assert statuses(full) == ["voted"] * 3
    assert early.faces[0].emotion is not None
    assert full.faces[0].emotion is not None
    assert early.faces[0].emotion.label == full.faces[0].emotion.label == "Happiness"
    assert {model.spec.id for model in early.models} == {FINDER, BOXES}
    assert early.to_json()["faces"][0]["members"][1] == {
        "model": FIRST,
        "status": "not asked",
        "weight": 0.3,
        "share": 0.0,
    }


def test_faces_are_decided_one_by_one(models: Models) -> None:
    image = picture((0, 0, (255, 5, 5)), (3, 3, (160, 150, 155)))
    panel = build_ensemble(((BOXES, 1.0), (FIRST, 0.5)), models)
    result = ask(models, image, panel, faces="all")
    assert statuses(result, 0) == ["voted", "not asked"]
    assert statuses(result, 1) == ["voted", "voted"]


@pytest.mark.parametrize("tta", ["flip", "full"])
def test_variants_are_averaged(models: Models, tta: Tta) -> None:
    image = np.random.default_rng(3).integers(0, 256, (40, 50, 3), np.uint8)
    panel = build_ensemble(((FIRST, 1.0),), models)
    result = face_emotion(image, panel, options=Options(tta=tta))
    each = [said(models[FIRST], variant.apply(image)) for variant in VIEWS[tta]]
    assert shares(result) == pytest.approx(np.mean(each, axis=0).tolist(), abs=1e-6)
    again = face_emotion(image, panel, options=Options(tta=tta))
    assert shares(again) == shares(result)
    plain = face_emotion(image, panel)
    assert shares(plain) != pytest.approx(shares(result), abs=1e-3)


def test_a_mirrored_picture_has_the_same_answer_under_flip(models: Models) -> None:
    image = picture((1, 2, RED))
    image[16:32, 32:40] = (255, 20, 20)  # the face's left half
    both = (image, image[:, ::-1].copy())
    flip = [ask(models, each, tta="flip", margin=0.25, early_exit=False) for each in both]
    assert shares(flip[0]) == pytest.approx(shares(flip[1]), abs=1e-6)
    plain = [ask(models, each, margin=0.25, early_exit=False) for each in both]
    assert shares(plain[0]) != pytest.approx(shares(plain[1]), abs=1e-4)


def test_variants_of_a_detectors_picture(models: Models) -> None:
    panel = build_ensemble(((BOXES, 1.0),), models)
    # each is where the other one is in the mirrored picture
    image = picture((1, 0, RED), (1, 3, (180, 180, 0)))
    flip = ask(models, image, panel, tta="flip", faces="all")
    assert shares(flip, 0) == pytest.approx([204 / 357, 51 / 357, 102 / 357], abs=1e-6)
    assert shares(flip, 1) == pytest.approx([0.5, 0.5, 0.0], abs=1e-6)


def test_a_member_that_found_the_face_looks_at_the_variants_too(models: Models) -> None:
    panel = build_ensemble(((BOXES, 1.0),), models)
    image = picture((1, 1, (250, 200, 0)))
    plain = face_emotion(image, panel)
    assert plain.found_by == BOXES
    assert shares(plain)[0] == pytest.approx(250 / 450, abs=1e-6)
    full = face_emotion(image, panel, options=Options(tta="full"))
    # brighter, both are 255 or 250; turned, the cell's edges are a little darker
    wanted = (5 * 250 / 450 + 255 / 505) / 6
    assert shares(full)[0] == pytest.approx(wanted, abs=0.003)


def test_rows_alone_give_the_same_where_a_batch_would_not(models: Models, tmp_path: Path) -> None:
    alone = load(write_artifact(tmp_path, EMOTIONS, batch_invariant=False))
    image = picture((1, 1, RED))
    results = [
        face_emotion(image, build_ensemble(((FIRST, 1.0),), known), options=Options(tta="full"))
        for known in (models, {FIRST: alone})
    ]
    assert shares(results[0]) == pytest.approx(shares(results[1]), abs=1e-7)


def test_who_cannot_vote_is_left_out_with_the_reason(models: Models) -> None:
    pair = "image_embedding_mobilenetv2"
    panel = build_ensemble(
        ((pair, 0.5), (FIRST, 0.5), (FINDER, 1.0), ("tiny_tensors", 1.0)), models
    )
    assert [member.model.spec.id for member in panel.members] == [FIRST]
    assert panel.left_out == {
        pair: "returns embeddings only: its checkpoint has no class centres",
        FINDER: "detects no emotions: its labels are others",
        "tiny_tensors": "returns no class probabilities for an image",
    }
    result = ask(models, picture((1, 1, RED)), panel)
    assert result.to_json()["left_out"] == panel.left_out
    with pytest.raises(InputError, match=f"no model can vote .* {pair} returns embeddings only"):
        build_ensemble(((pair, 1.0),), models)
    with pytest.raises(InputError, match="no model can vote on an emotion: asked for absent"):
        build_ensemble((("absent", 1.0),), models)


def test_members_of_other_labels_are_refused(models: Models) -> None:
    with pytest.raises(
        InputError,
        match="face_emotion_xception has the labels dark, grey, bright; "
        "face_emotion_efficientnet_b3: happy, sad, surprise; allowed: members with the same labels",
    ):
        build_ensemble(((FIRST, 0.6), ("face_emotion_xception", 0.4)), models)


def test_the_heaviest_is_asked_first(models: Models) -> None:
    panel = build_ensemble(((SECOND, 0.2), (BOXES, 0.4), (FIRST, 0.4)), models)
    assert [member.model.spec.id for member in panel.members] == [BOXES, FIRST, SECOND]


def test_a_file_is_its_pixels(models: Models) -> None:
    image = picture((1, 1, RED))
    file = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()
    assert ask(models, file).to_json() == ask(models, image).to_json()
    with pytest.raises(DecodeError):
        ask(models, b"no image")


def test_what_is_no_detector_is_refused(models: Models) -> None:
    panel = build_ensemble((("face_emotion_xception", 1.0),), models)
    with pytest.raises(InputError, match="is for image-classification; allowed: object-detection"):
        face_emotion(picture(), panel, detector=models["face_emotion_xception"])


def test_what_is_no_picture_or_no_margin_is_refused(models: Models) -> None:
    for image in (np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.uint8)):
        with pytest.raises(InputError, match=r"allowed: uint8 \(H, W, 3\), RGB"):
            ask(models, image)  # type: ignore[arg-type]  # that is what is tested
    for margin in (-0.1, 1.01, float("nan")):
        with pytest.raises(InputError, match="allowed: 0 to 1"):
            ask(models, picture(), margin=margin)

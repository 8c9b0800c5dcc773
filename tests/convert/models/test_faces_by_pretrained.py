"""Faces of photos, found by the real detector and classified by the real classifier."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

import runtime
from runtime.media.images.decode import decode_image
from runtime.tasks.ensemble import Ensemble, build_ensemble
from runtime.tasks.face_emotion import FaceEmotion, Options, face_emotion

# photos to the faces that the detector finds in them
COUNTS = {"group/1.jpg": 52, "group/19.jpg": 5, "group/face.jpg": 4, "labelled_colour/angry.jpg": 1}
LABELS = {"angry": "angry", "fearful": "fear", "neutral": "neutral", "surprised": "surprise"}


@pytest.fixture(scope="module")
def detector(pretrained_yunet: Path) -> runtime.Model:
    return runtime.load(pretrained_yunet)


@pytest.fixture(scope="module")
def panel(pretrained_xception: Path) -> Ensemble:
    model = runtime.load(pretrained_xception)
    return build_ensemble(((model.spec.id, 1.0),), {model.spec.id: model})


def label(result: FaceEmotion) -> str:
    assert result.faces[0].emotion is not None
    return result.faces[0].emotion.label


@pytest.mark.slow
@pytest.mark.parametrize("name", COUNTS)
def test_crops_are_inside_the_photo_and_contain_their_faces(
    shared: Path, detector: runtime.Model, panel: Ensemble, name: str
) -> None:
    image = decode_image((shared / "data/faces" / name).read_bytes())
    height, width = image.shape[:2]
    result = face_emotion(image, panel, detector=detector, options=Options(faces="all"))
    assert len(result.faces) == result.faces_found == COUNTS[name]
    areas = []
    for face in result.faces:
        box, crop = face.region.box_xyxy, face.region.crop
        assert box is not None
        left, top, right, bottom = box.tolist()
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        assert 0 <= crop.left <= left + 1
        assert 0 <= crop.top <= top + 1
        assert right - 1 <= crop.right <= width
        assert bottom - 1 <= crop.bottom <= height
        side = max(right - left, bottom - top)
        assert crop.right - crop.left == crop.bottom - crop.top == round(1.2 * side)
        areas.append((right - left) * (bottom - top))
        # the task classifies the crop: the classifier alone answers the same for it
        alone = panel.members[0].model.predict(np.ascontiguousarray(crop.cut(image)))
        assert face.emotion is not None
        assert face.emotion.to_json()["probabilities"] == pytest.approx(
            dict[str, Any](alone.to_json())["probabilities"], abs=1e-6
        )
    assert areas == sorted(areas, reverse=True)


@pytest.mark.slow
def test_labelled_photos_get_their_labels(
    shared: Path, detector: runtime.Model, panel: Ensemble
) -> None:
    directory = shared / "data/faces/labelled_colour"
    photos = {name: (directory / f"{name}.jpg").read_bytes() for name in LABELS}
    labels = {
        name: label(face_emotion(data, panel, detector=detector)) for name, data in photos.items()
    }
    assert labels == LABELS
    whole = {name: label(face_emotion(data, panel)) for name, data in photos.items()}
    assert whole != LABELS


@pytest.mark.slow
@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_photo_stored_rotated_is_turned_upright(
    shared: Path, detector: runtime.Model, panel: Ensemble, orientation: int
) -> None:
    photo = Image.open(shared / "data/faces/labelled_colour/angry.jpg")
    turns = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90}
    stored = photo.transpose(turns.get(orientation, Image.Transpose.ROTATE_270))
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    stored.save(file, "JPEG", quality=95, exif=exif)
    upright = np.array(ImageOps.exif_transpose(Image.open(file)).convert("RGB"))
    answer = face_emotion(file.getvalue(), panel, detector=detector)
    upright_answer = face_emotion(upright, panel, detector=detector)
    assert answer.to_json() == upright_answer.to_json()
    assert (answer.faces_found, label(answer)) == (1, "angry")


@pytest.mark.slow
def test_mirrored_faces_have_one_answer_under_flip(shared: Path, panel: Ensemble) -> None:
    for path in sorted((shared / "data/faces/ckplus48").glob("*/*1.png"))[:12]:
        image = decode_image(path.read_bytes())
        both = [
            face_emotion(picture, panel, options=Options(crop="none", tta="flip")).to_json()
            for picture in (image, image[:, ::-1].copy())
        ]
        # float32 in the graph; rows of a batch in another order
        assert both[0]["probabilities"] == pytest.approx(both[1]["probabilities"], abs=1e-5)

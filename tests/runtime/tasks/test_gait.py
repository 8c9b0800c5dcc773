"""The walk in a clip, and what is known about the person."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from runtime import Model, load
from runtime.errors import DecodeError, InputError, TooLargeError
from runtime.media.video.sample import VideoLimits
from runtime.predict.prepare import Bounds
from runtime.tasks.gait import gait, shares_embedding_space
from tests.runtime.support.recordings import shades, video
from tests.support.artifacts import CLASSIFIER, GAIT, NOTES, TEXT, write_artifact

KNOWN = "known: Ischaemic stroke, Parkinson's disease"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("artifacts")


@pytest.fixture(scope="module")
def model(root: Path) -> Model:
    return load(write_artifact(root, GAIT))


@pytest.fixture(scope="module")
def notes(root: Path) -> Model:
    return load(write_artifact(root, NOTES))


@pytest.fixture(scope="module")
def text(root: Path) -> Model:
    return load(write_artifact(root, TEXT))


def shares(value: float) -> list[float]:
    """What tiny_gait says where brightness and condition sum to this."""
    weights = np.exp(-8 * np.abs(value - np.array([0, 0.5, 1])))
    return list(weights / weights.sum())


def test_frames_and_probabilities(model: Model, tmp_path: Path) -> None:
    data = video(shades([0] * 10 + [128] * 21), tmp_path, fps=10)
    found = gait(data, model)
    np.testing.assert_allclose(found.walk.probabilities, shares(128 / 255), atol=0.02)
    answer = found.to_json()
    assert answer["predicted_class"] == answer["label"] == "grey"
    assert answer["frames"] == {
        "indices": [0, 10, 20, 30],
        "times_s": pytest.approx([0, 1, 2, 3], abs=1e-3),
        "clip_frames": 31,
        "sought": False,
    }
    assert answer["condition"] is None
    assert answer["condition_read"]["read_as"] == "nothing"
    assert gait(data, model, condition="  ").to_json() == answer


def test_one_frame_is_taken_again_and_again(model: Model, tmp_path: Path) -> None:
    frames = gait(video(shades([255]), tmp_path), model).frames
    assert (frames.indices, frames.clip_frames) == ((0, 0, 0, 0), 1)


def test_decoded_clip_has_no_times(model: Model) -> None:
    found = gait(shades([255] * 8), model)
    assert found.to_json()["frames"]["times_s"] == []
    np.testing.assert_allclose(found.walk.probabilities, shares(1), atol=1e-6)


def test_condition_by_name_needs_no_text_model(model: Model, notes: Model) -> None:
    found = gait(shades([0] * 8), model, condition="cva", text_models=[notes])
    assert found.condition.to_json() == {
        "given": "cva",
        "read_as": "name",
        "name": "Ischaemic stroke",
        "text_model": None,
    }
    np.testing.assert_allclose(found.walk.probabilities, shares(1), atol=1e-6)


def test_other_text_is_embedded_by_the_text_model_that_fits(
    model: Model, notes: Model, text: Model
) -> None:
    found = gait(
        shades([255] * 8), model, condition="e slow walk e", text_models=[model, text, notes]
    )
    answer = found.to_json()
    assert answer["condition"] == "e slow walk e"
    assert answer["condition_read"] == {
        "given": "e slow walk e",
        "read_as": "text",
        "name": None,
        "text_model": {"model": "tiny_notes", "version": 1, "digest": notes.manifest.digest},
    }
    np.testing.assert_allclose(found.walk.probabilities, shares(1 - 1), atol=1e-6)  # six tokens


def test_text_model_of_another_space_is_not_asked(model: Model, notes: Model, text: Model) -> None:
    assert shares_embedding_space(notes, model)
    assert not shares_embedding_space(text, model)  # another width
    assert not shares_embedding_space(model, model)  # another task
    known = model.assets.conditions
    assert known is not None
    half = replace(known, embeddings=np.abs(known.embeddings))  # changes the second condition
    assert not shares_embedding_space(
        notes, replace(model, assets=replace(model.assets, conditions=half))
    )
    mirrored = replace(known, embeddings=-known.embeddings)
    foreign = replace(model, assets=replace(model.assets, conditions=mirrored))
    assert not shares_embedding_space(notes, foreign)
    with pytest.raises(InputError, match=f"condition 'gout' is unknown; {KNOWN}"):
        gait(shades([0] * 8), foreign, condition="gout", text_models=[text, notes])


def test_model_that_knows_no_names_takes_text_alone(model: Model, notes: Model) -> None:
    unnamed = replace(model, assets=replace(model.assets, conditions=None))
    found = gait(shades([0] * 8), unnamed, condition="slow walk", text_models=[notes])
    assert found.condition.read_as == "text"
    with pytest.raises(InputError, match="knows no condition by name, and no text model fits"):
        gait(shades([0] * 8), unnamed, condition="slow walk")


def test_what_is_refused(model: Model, notes: Model, tmp_path: Path) -> None:
    clip = shades([0] * 8)
    with pytest.raises(InputError, match="the condition has 2001 characters; allowed: 2000"):
        gait(clip, model, condition="e" * 2001, text_models=[notes])
    classifier = load(write_artifact(tmp_path, CLASSIFIER))
    with pytest.raises(InputError, match="allowed: video-classification"):
        gait(clip, classifier)
    with pytest.raises(DecodeError, match="begins with bytes"):
        gait(b"no clip at all", model)
    bounds = Bounds(video=VideoLimits(frames=7))
    with pytest.raises(TooLargeError, match="the video has 8 frames; allowed: 7"):
        gait(video(clip, tmp_path), model, bounds=bounds)

"""The walk in a clip, with and without a condition of the person."""

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


def expected_probabilities(value: float) -> list[float]:
    """Return the probabilities of tiny_gait if brightness and condition sum to this value."""
    weights = np.exp(-8 * np.abs(value - np.array([0, 0.5, 1])))
    return list(weights / weights.sum())


def test_the_answer_has_the_frames_and_the_probabilities(model: Model, tmp_path: Path) -> None:
    data = video(shades([0] * 10 + [128] * 21), tmp_path, fps=10)
    result = gait(data, model)
    np.testing.assert_allclose(
        result.walk.probabilities, expected_probabilities(128 / 255), atol=0.02
    )
    answer = result.to_json()
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


def test_a_clip_of_one_frame_repeats_it(model: Model, tmp_path: Path) -> None:
    frames = gait(video(shades([255]), tmp_path), model).frames
    assert (frames.indices, frames.clip_frames) == ((0, 0, 0, 0), 1)


def test_a_decoded_clip_has_no_times(model: Model) -> None:
    result = gait(shades([255] * 8), model)
    assert result.to_json()["frames"]["times_s"] == []
    np.testing.assert_allclose(result.walk.probabilities, expected_probabilities(1), atol=1e-6)


def test_a_condition_known_by_name_needs_no_text_model(model: Model, notes: Model) -> None:
    result = gait(shades([0] * 8), model, condition="cva", text_models=[notes])
    assert result.condition.to_json() == {
        "given": "cva",
        "read_as": "name",
        "name": "Ischaemic stroke",
        "text_model": None,
    }
    np.testing.assert_allclose(result.walk.probabilities, expected_probabilities(1), atol=1e-6)


def test_free_text_is_embedded_by_the_text_model_that_fits(
    model: Model, notes: Model, text: Model
) -> None:
    result = gait(
        shades([255] * 8), model, condition="e slow walk e", text_models=[model, text, notes]
    )
    answer = result.to_json()
    assert answer["condition"] == "e slow walk e"
    assert answer["condition_read"] == {
        "given": "e slow walk e",
        "read_as": "text",
        "name": None,
        "text_model": {"model": "tiny_notes", "version": 1, "digest": notes.manifest.digest},
    }
    # six tokens embed to -1, which takes the brightness of 1 to 0
    np.testing.assert_allclose(result.walk.probabilities, expected_probabilities(0), atol=1e-6)


def test_a_text_model_of_another_embedding_space_is_not_used(
    model: Model, notes: Model, text: Model
) -> None:
    assert shares_embedding_space(notes, model)
    assert not shares_embedding_space(text, model)  # another width
    assert not shares_embedding_space(model, model)  # another task
    conditions = model.assets.conditions
    assert conditions is not None
    # this changes the vector of the second condition
    changed = replace(conditions, embeddings=np.abs(conditions.embeddings))
    assert not shares_embedding_space(
        notes, replace(model, assets=replace(model.assets, conditions=changed))
    )
    mirrored = replace(conditions, embeddings=-conditions.embeddings)
    foreign = replace(model, assets=replace(model.assets, conditions=mirrored))
    assert not shares_embedding_space(notes, foreign)
    with pytest.raises(InputError, match=f"condition 'gout' is unknown; {KNOWN}"):
        gait(shades([0] * 8), foreign, condition="gout", text_models=[text, notes])


def test_a_model_without_known_conditions_takes_free_text(model: Model, notes: Model) -> None:
    unnamed = replace(model, assets=replace(model.assets, conditions=None))
    result = gait(shades([0] * 8), unnamed, condition="slow walk", text_models=[notes])
    assert result.condition.read_as == "text"
    with pytest.raises(InputError, match="knows no condition by name, and no text model fits"):
        gait(shades([0] * 8), unnamed, condition="slow walk")


def test_long_texts_other_models_and_bad_clips_are_refused(
    model: Model, notes: Model, tmp_path: Path
) -> None:
    clip = shades([0] * 8)
    with pytest.raises(InputError, match="the condition has 2001 characters; allowed: 2000"):
        gait(clip, model, condition="e" * 2001, text_models=[notes])
    classifier = load(write_artifact(tmp_path, CLASSIFIER))
    with pytest.raises(InputError, match="allowed: video-classification"):
        gait(clip, classifier)
    with pytest.raises(DecodeError, match="begins with bytes"):
        gait(b"no clip at all", model)
    bounds = Bounds(video=VideoLimits(frames=7))
    with pytest.raises(TooLargeError, match="the video has more frames than allowed: 7"):
        gait(video(clip, tmp_path), model, bounds=bounds)

"""Ensembles: which models vote, in which order, and the fallback."""

from collections.abc import Mapping

import pytest

from runtime import Model
from runtime.errors import ArtifactError, InputError
from runtime.tasks.ensemble import build_ensemble, with_fallback

Models = Mapping[str, Model]

DETECTOR, VOTING_DETECTOR = "face_detector_yunet", "face_emotion_yolov8n"
FIRST, SECOND = "face_emotion_efficientnet_b3", "face_emotion_arcface"
EMBEDDING, FALLBACK = "image_embedding_mobilenetv2", "face_emotion_xception"


def test_models_that_cannot_vote_are_left_out_with_the_reason(models: Models) -> None:
    weights = ((EMBEDDING, 0.5), (FIRST, 0.5), (DETECTOR, 1.0), ("tiny_tensors", 1.0))
    ensemble = build_ensemble(weights, models)
    assert [member.model.spec.id for member in ensemble.members] == [FIRST]
    assert ensemble.left_out == {
        EMBEDDING: "returns embeddings only: its checkpoint has no class centres",
        DETECTOR: "detects no emotions: its labels are others",
        "tiny_tensors": "returns no class probabilities for an image",
    }


def test_without_any_model_that_can_vote_there_is_no_ensemble(models: Models) -> None:
    with pytest.raises(InputError, match=f"no model can vote .* {EMBEDDING} returns embeddings"):
        build_ensemble(((EMBEDDING, 1.0),), models)
    with pytest.raises(InputError, match="no model can vote on an emotion: asked for absent"):
        build_ensemble((("absent", 1.0),), models)


def test_members_with_different_labels_are_refused(models: Models) -> None:
    with pytest.raises(
        InputError,
        match="face_emotion_xception has the labels dark, grey, bright; "
        "face_emotion_efficientnet_b3: happy, sad, surprise; allowed: members with the same labels",
    ):
        build_ensemble(((FIRST, 0.6), (FALLBACK, 0.4)), models)


def test_the_heaviest_member_votes_first(models: Models) -> None:
    ensemble = build_ensemble(((SECOND, 0.2), (VOTING_DETECTOR, 0.4), (FIRST, 0.4)), models)
    assert [member.model.spec.id for member in ensemble.members] == [VOTING_DETECTOR, FIRST, SECOND]


def test_the_fallback_votes_if_no_other_model_can(models: Models) -> None:
    def find() -> Model:
        return models[FALLBACK]

    assert with_fallback(((FIRST, 0.4), (EMBEDDING, 0.6)), models, find) == (
        (FIRST, 0.4),
        (EMBEDDING, 0.6),
    )
    assert with_fallback((("absent", 0.4), (EMBEDDING, 0.6)), models, find) == (
        ("absent", 0.4),
        (EMBEDDING, 0.6),
        (FALLBACK, 1.0),
    )
    assert with_fallback(((FALLBACK, 0.2),), {}, find) == ((FALLBACK, 1.0),)


def test_an_absent_fallback_is_an_error_only_if_it_is_needed(models: Models) -> None:
    def fail() -> Model:
        raise ArtifactError("no fallback")

    assert with_fallback(((FIRST, 1.0),), models, fail) == ((FIRST, 1.0),)
    with pytest.raises(ArtifactError, match="no fallback"):
        with_fallback((("absent", 1.0),), models, fail)

"""Specs: parsed, and refused if they contradict themselves or their task."""

import json
from typing import Any

import pytest

from runtime.artifact.manifest import Letterbox, NmsConfig, SimilarityScale, parse_spec
from runtime.errors import ArtifactError
from tests.runtime.support.specs import (
    DETECTOR,
    FRAMES,
    GAIT,
    LETTERBOX,
    RESAMPLE,
    RESIZE,
    SAMPLE,
    SUPPRESSION,
    TEXT,
    TOKENIZE,
    VOICE,
    integers,
    spec_of,
    tensor,
)

CLASSIFIER = spec_of(
    "image-classification",
    inputs=[{"name": "image", "dtype": "uint8", "shape": ["N", 8, 8, 3]}],
    output="probabilities",
    steps=[RESIZE],
)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": "Face Emotion"}, "spec.id is 'Face Emotion'; allowed: "),
        ({"id": "../up"}, "spec.id is '../up'; allowed: "),
        ({"task": "juggling"}, "spec.task is 'juggling'; allowed: image-classification"),
        ({"inputs": []}, "a model has at least one input and one output"),
        ({"preprocess": [{"op": "pad"}]}, "preprocess[0].op is 'pad'; known ops: center_crop"),
        (
            {"preprocess": [{"op": "resize", "interpolation": "linear", "height": 3}]},
            "preprocess[0]: resize takes height and width, or shortest_side",
        ),
        (
            {"preprocess": [{"op": "resize", "interpolation": "linear"}]},
            "preprocess[0]: resize takes height and width, or shortest_side",
        ),
        (
            {"preprocess": [{"op": "center_crop", "height": 0, "width": 4}]},
            "preprocess[0].height is 0; allowed: 1 to 8192 px",
        ),
        (
            {"preprocess": [{"op": "resize", "interpolation": "linear", "shortest_side": 9000}]},
            "preprocess[0].shortest_side is 9000; allowed: 1 to 8192 px",
        ),
        (
            {"preprocess": [{"op": "resize", "interpolation": "best", "shortest_side": 9}]},
            "preprocess[0].interpolation is 'best'; allowed: nearest",
        ),
        (
            {"preprocess": [{**LETTERBOX, "fill": 256}]},
            "preprocess[0].fill is 256; allowed: 0 to 255",
        ),
        (
            {"preprocess": [{**LETTERBOX, "fill": -1}]},
            "preprocess[0].fill is -1; allowed: 0 to 255",
        ),
        (
            {"preprocess": [{**LETTERBOX, "height": 0}]},
            "preprocess[0].height is 0; allowed: 1 to 8192 px",
        ),
        (
            {"preprocess": [{**LETTERBOX, "align": "left"}]},
            "preprocess[0].align is 'left'; allowed: center, top_left",
        ),
        ({"schema_version": 2}, "spec.schema_version is 2; this runtime reads 1"),
        (
            {"suppression": SUPPRESSION},
            "suppression is given for image-classification; object-detection alone has it",
        ),
    ],
)
def test_specs_with_wrong_fields_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArtifactError) as caught:
        parse_spec(json.dumps({**CLASSIFIER, **changes}), "int8.onnx: spec")
    assert str(caught.value).startswith("int8.onnx: ")
    assert message in str(caught.value)


def test_a_detector_is_parsed_with_the_defaults_of_a_letterbox() -> None:
    spec = parse_spec(json.dumps(DETECTOR), "spec")
    assert spec.preprocess == (Letterbox(8, 8, "linear", fill=114, align="center", enlarge=True),)
    assert spec.suppression == NmsConfig(0.25, 0.7, 300)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"suppression": None}, "spec.suppression is missing; object-detection alone has it"),
        (
            {"suppression": {**SUPPRESSION, "score_threshold": 1.5}},
            "spec.suppression.score_threshold is 1.5; allowed: 0 to 1",
        ),
        (
            {"suppression": {**SUPPRESSION, "iou_threshold": float("nan")}},
            "spec.suppression.iou_threshold is nan; allowed: 0 to 1",
        ),
        (
            {"suppression": {**SUPPRESSION, "max_detections": 0}},
            "spec.suppression.max_detections is 0; allowed: 1 to 1000",
        ),
        (
            {"suppression": {**SUPPRESSION, "max_detections": 2.5}},
            "spec.suppression.max_detections is '2.5' (float); allowed: int",
        ),
        ({"outputs": DETECTOR["outputs"][:1]}, "outputs lacks scores; found: boxes_xyxy"),
        (
            {"outputs": [tensor("boxes_xyxy", "N", 5, 5), DETECTOR["outputs"][1]]},
            "outputs: boxes_xyxy is ('N', 5, 5); allowed: (N, A, 4)",
        ),
        (
            {"outputs": [DETECTOR["outputs"][0], tensor("scores", "N", 5, "K")]},
            "outputs: scores is ('N', 5, 'K'); allowed: (N, A, 1)",
        ),
        (
            {"outputs": [*DETECTOR["outputs"], tensor("keypoints", "N", 5, 10)]},
            "outputs: keypoints is ('N', 5, 10); allowed: (N, A, P, 2)",
        ),
        ({"labels": []}, "spec.labels has 0; scores: 1"),
        (
            {"labels": [], "outputs": [DETECTOR["outputs"][0], tensor("scores", "N", 5, "K")]},
            "spec.labels is empty; a detector has at least one",
        ),
        ({"labels": ["a", "b"]}, "spec.labels has 2; scores: 1"),
    ],
)
def test_detectors_with_wrong_fields_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArtifactError) as caught:
        parse_spec(json.dumps({**DETECTOR, **changes}), "spec")
    assert message in str(caught.value)


@pytest.mark.parametrize("spec", [VOICE, GAIT, {**GAIT, "inputs": [FRAMES]}, TEXT])
def test_sound_video_and_text_models_have_their_own_inputs_and_steps(spec: dict[str, Any]) -> None:
    parsed = parse_spec(json.dumps(spec), "here")
    assert [step.op for step in parsed.preprocess] == [s["op"] for s in spec["preprocess"]]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({**VOICE, "inputs": [tensor("sound", "N", "S")]}, "inputs are sound float32 of 2 axes"),
        ({**VOICE, "inputs": [tensor("waveform", "N", 1, "S")]}, "waveform float32 of 3 axes"),
        ({**VOICE, "outputs": [tensor("logits", "N", 3)]}, "returns probabilities of 2 axes"),
        ({**VOICE, "labels": ["a"]}, "labels has 1; probabilities: 3"),
        ({**TEXT, "inputs": [integers("input_ids")]}, "inputs are input_ids int64 of 2 axes"),
        ({**VOICE, "preprocess": []}, "preprocess is empty; audio-classification allows one"),
        ({**VOICE, "preprocess": [RESIZE]}, "preprocess is resize; audio-classification allows"),
        ({**GAIT, "preprocess": [RESIZE, SAMPLE]}, "allows sample_frames, then steps of images"),
        ({**GAIT, "preprocess": [SAMPLE, SAMPLE]}, "allows sample_frames, then steps of images"),
        ({**TEXT, "preprocess": [TOKENIZE, TOKENIZE]}, "sentence-similarity allows one tokenize"),
        ({**DETECTOR, "preprocess": [SAMPLE]}, "object-detection allows steps of images"),
        (
            {**VOICE, "preprocess": [{**RESAMPLE, "sampling_rate": 999}]},
            "preprocess[0].sampling_rate is 999; allowed: 1000 to 192000 Hz",
        ),
        ({**GAIT, "preprocess": [{**SAMPLE, "count": 0}]}, "allowed: 1 to 256 frames"),
        ({**TEXT, "preprocess": [{**TOKENIZE, "max_length": 2}]}, "allowed: 3 to 8192 tokens"),
    ],
)
def test_inputs_and_steps_of_another_task_are_refused(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(ArtifactError) as caught:
        parse_spec(json.dumps(spec), "here")
    assert message in str(caught.value)
    assert str(caught.value).startswith("here.")


SCALE = {"cosines": [-1, 0.5, 1], "scores": [0, 0.25, 1], "pairs": "sha256:0"}
EMBEDDING = {
    **spec_of(
        "image-feature-extraction",
        inputs=[{"name": "image", "dtype": "uint8", "shape": ["N", 8, 8, 3]}],
        output="embedding",
        steps=[RESIZE],
    ),
    "similarity": SCALE,
}


def test_a_similarity_scale_is_parsed() -> None:
    scale = parse_spec(json.dumps(EMBEDDING), "here").similarity
    assert scale == SimilarityScale((-1, 0.5, 1), (0, 0.25, 1), "sha256:0")
    assert parse_spec(json.dumps({**EMBEDDING, "similarity": None}), "here").similarity is None


@pytest.mark.parametrize(
    "change",
    [
        {"cosines": [-1, 0.5, 0.9]},
        {"cosines": [0, 0.5, 1]},
        {"cosines": [-1, 1]},
        {"cosines": [-1, -1, 1]},
        {"cosines": [-1, float("nan"), 1]},
        {"scores": [0, 0.25, 1.5]},
        {"scores": [-0.5, 0.25, 1]},
        {"scores": [0, 0, 1]},
        {"scores": [0, float("nan"), 1]},
        {"scores": [], "cosines": []},
    ],
)
def test_a_scale_that_does_not_rise_is_refused(change: dict[str, Any]) -> None:
    spec = {**EMBEDDING, "similarity": {**SCALE, **change}}
    with pytest.raises(ArtifactError, match=r"here.similarity maps .*; allowed: two or more"):
        parse_spec(json.dumps(spec), "here")


def test_a_similarity_scale_is_refused_for_other_tasks() -> None:
    with pytest.raises(ArtifactError, match=r"here\.similarity is given for sentence"):
        parse_spec(json.dumps({**TEXT, "similarity": SCALE}), "here")

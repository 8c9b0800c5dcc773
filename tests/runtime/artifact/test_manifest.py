import json
from pathlib import Path
from typing import Any

import pytest

from runtime.artifact.manifest import (
    File,
    Letterbox,
    NmsConfig,
    SimilarityScale,
    newest_versions,
    parse_spec,
    read_manifest,
    verify_file,
    versions,
)
from runtime.errors import ArtifactError
from tests.support.artifacts import CLASSIFIER, edit_manifest, write_artifact


def tensor(name: str, *shape: int | str) -> dict[str, Any]:
    return {"name": name, "dtype": "float32", "shape": list(shape)}


LETTERBOX = {"op": "letterbox", "interpolation": "linear", "height": 8, "width": 8}
SUPPRESSION = {"score_threshold": 0.25, "iou_threshold": 0.7, "max_detections": 300}
DETECTOR: dict[str, Any] = {
    "schema_version": 1,
    "id": "finder",
    "task": "object-detection",
    "description": "",
    "labels": ["face"],
    "inputs": [{"name": "image", "dtype": "uint8", "shape": ["N", 8, 8, 3]}],
    "outputs": [tensor("boxes_xyxy", "N", 5, 4), tensor("scores", "N", 5, 1)],
    "preprocess": [LETTERBOX],
    "licence": "MIT",
    "suppression": SUPPRESSION,
}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return write_artifact(tmp_path, CLASSIFIER)


def content(directory: Path) -> Any:
    return json.loads((directory / "manifest.json").read_text(encoding="utf-8"))


def refusal(directory: Path, changes: dict[str, Any] | None = None) -> str:
    edit_manifest(directory, changes or {})
    with pytest.raises(ArtifactError) as caught:
        read_manifest(directory)
    text = str(caught.value)
    assert str(directory / "manifest.json") in text
    return text


def test_manifest_is_read(directory: Path) -> None:
    manifest = read_manifest(directory)
    assert (manifest.id, manifest.version) == ("face_emotion_xception", 1)
    assert manifest.variants[0].precision == "float"
    assert not manifest.seeded


def test_seeded_is_told_by_the_origin_of_the_weights(tmp_path: Path) -> None:
    assert read_manifest(write_artifact(tmp_path, CLASSIFIER, origin="seeded")).seeded


def test_directory_without_manifest_is_half_written(directory: Path) -> None:
    (directory / "manifest.json").unlink()
    with pytest.raises(ArtifactError, match=r"holds no manifest\.json: not an artifact, or half"):
        read_manifest(directory)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[" * 100_000, '{"schema_version": ' + "1" * 5000 + "}", '{"a": "\\ud800"'],
    ids=["empty", "cut", "deep", "long number", "cut string"],
)
def test_text_that_is_not_json_is_refused(directory: Path, text: str) -> None:
    (directory / "manifest.json").write_text(text, encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"manifest\.json is not JSON"):
        read_manifest(directory)


def test_bytes_that_are_no_text_are_refused(directory: Path) -> None:
    (directory / "manifest.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(ArtifactError, match=r"manifest\.json cannot be read"):
        read_manifest(directory)


@pytest.mark.parametrize("found", [2, 0, None, "1", True, 1.5])
def test_other_schemas_are_refused_before_their_fields(directory: Path, found: object) -> None:
    text = refusal(directory, {"schema_version": found, "field_of_tomorrow": 1})
    assert f"schema_version is {found!r}; this runtime reads 1" in text


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"colour": 1}, "manifest.json.colour is not a known field"),
        ({"variants": []}, "variants is empty; a version has at least one"),
        ({"id": "other"}, "id is 'other'; its spec says 'face_emotion_xception'"),
        ({"version": "1"}, "manifest.json.version is '1' (str); allowed: int"),
        ({"weights": {"origin": "found"}}, "manifest.json.weights."),
        ({"golden": {"name": "g", "sha256": "0"}}, "manifest.json.golden.size_bytes is missing"),
    ],
)
def test_fields_out_of_place_are_refused(
    directory: Path, changes: dict[str, Any], says: str
) -> None:
    assert says in refusal(directory, changes)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a/b.onnx", "..", ".", ""])
def test_file_names_cannot_leave_the_directory(directory: Path, name: str) -> None:
    golden = {"name": name, "sha256": "0" * 64, "size_bytes": 1}
    assert f"file name {name!r} is not a plain name" in refusal(directory, {"golden": golden})


def test_variant_without_files_is_refused(directory: Path) -> None:
    variant = {**content(directory)["variants"][0], "files": []}
    assert "a variant lists no files" in refusal(directory, {"variants": [variant]})


@pytest.mark.parametrize(
    ("changes", "says"),
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
def test_specs_out_of_place_are_refused(
    directory: Path, changes: dict[str, Any], says: str
) -> None:
    spec = {**content(directory)["spec"], **changes}
    with pytest.raises(ArtifactError) as caught:
        parse_spec(json.dumps(spec), "int8.onnx: spec")
    assert str(caught.value).startswith("int8.onnx: ")
    assert says in str(caught.value)


def test_detector_is_read_with_the_defaults_of_a_letterbox() -> None:
    spec = parse_spec(json.dumps(DETECTOR), "spec")
    assert spec.preprocess == (Letterbox(8, 8, "linear", fill=114, align="center", enlarge=True),)
    assert spec.suppression == NmsConfig(0.25, 0.7, 300)


@pytest.mark.parametrize(
    ("changes", "says"),
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
def test_detectors_out_of_place_are_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ArtifactError) as caught:
        parse_spec(json.dumps({**DETECTOR, **changes}), "spec")
    assert says in str(caught.value)


def test_files_are_checked_by_size_and_hash(directory: Path) -> None:
    file = read_manifest(directory).variants[0].files[0]
    path = verify_file(directory, file)
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    with pytest.raises(ArtifactError, match=rf"has {len(data) - 1} bytes; the manifest says"):
        verify_file(directory, file)
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ArtifactError, match=r"has sha256 .*; the manifest says"):
        verify_file(directory, file)
    with pytest.raises(ArtifactError, match=r"nowhere\.onnx cannot be read"):
        verify_file(directory, File("nowhere.onnx", "0" * 64, 1))


def test_versions_are_complete_ones_in_order_of_number(tmp_path: Path) -> None:
    for version in (10, 9, 2):
        write_artifact(tmp_path, CLASSIFIER, version=version)
    model = tmp_path / "face_emotion_xception"
    (model / "11").mkdir()  # half written
    (model / "notes").mkdir()
    (model / "12").touch()
    assert [path.name for path in versions(model)] == ["2", "9", "10"]
    assert versions(tmp_path / "nowhere") == []


def spec_of(task: str, *, inputs: list[Any], output: str, steps: list[Any]) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "id": "listener",
        "task": task,
        "description": "",
        "labels": ["a", "b", "c"] if output == "probabilities" else [],
        "inputs": inputs,
        "outputs": [tensor(output, "N", 3)],
        "preprocess": steps,
        "licence": "MIT",
    }


def integers(name: str) -> dict[str, Any]:
    return {"name": name, "dtype": "int64", "shape": ["N", "L"]}


FRAMES = {"name": "frames", "dtype": "uint8", "shape": ["N", 4, 8, 8, 3]}
RESIZE = {"op": "resize", "interpolation": "linear", "height": 8, "width": 8}
SAMPLE = {"op": "sample_frames", "count": 4}
RESAMPLE = {"op": "resample", "sampling_rate": 16_000}
TOKENIZE = {"op": "tokenize", "max_length": 8, "lowercase": True}
VOICE = spec_of(
    "audio-classification",
    inputs=[tensor("waveform", "N", "S")],
    output="probabilities",
    steps=[RESAMPLE],
)
GAIT = spec_of(
    "video-classification",
    inputs=[FRAMES, tensor("condition", "N", 384)],
    output="probabilities",
    steps=[SAMPLE, RESIZE],
)
TEXT = spec_of(
    "sentence-similarity",
    inputs=[integers("input_ids"), integers("attention_mask")],
    output="embedding",
    steps=[TOKENIZE],
)


@pytest.mark.parametrize("spec", [VOICE, GAIT, {**GAIT, "inputs": [FRAMES]}, TEXT])
def test_sound_video_and_text_have_interfaces_of_their_own(spec: dict[str, Any]) -> None:
    found = parse_spec(json.dumps(spec), "here")
    assert [step.op for step in found.preprocess] == [s["op"] for s in spec["preprocess"]]


@pytest.mark.parametrize(
    ("spec", "says"),
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
def test_interfaces_and_steps_of_another_task_are_refused(spec: dict[str, Any], says: str) -> None:
    with pytest.raises(ArtifactError) as caught:
        parse_spec(json.dumps(spec), "here")
    assert says in str(caught.value)
    assert str(caught.value).startswith("here.")


SCALE = {"cosines": [-1, 0.5, 1], "scores": [0, 0.25, 1], "pairs": "sha256:0"}
PICTURES = {
    **spec_of(
        "image-feature-extraction",
        inputs=[{"name": "image", "dtype": "uint8", "shape": ["N", 8, 8, 3]}],
        output="embedding",
        steps=[RESIZE],
    ),
    "similarity": SCALE,
}


def test_a_scale_of_similarity_is_read() -> None:
    scale = parse_spec(json.dumps(PICTURES), "here").similarity
    assert scale == SimilarityScale((-1, 0.5, 1), (0, 0.25, 1), "sha256:0")
    assert parse_spec(json.dumps({**PICTURES, "similarity": None}), "here").similarity is None


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
    spec = {**PICTURES, "similarity": {**SCALE, **change}}
    with pytest.raises(ArtifactError, match=r"here.similarity maps .*; allowed: two or more"):
        parse_spec(json.dumps(spec), "here")


def test_a_scale_belongs_to_embeddings_of_images() -> None:
    with pytest.raises(ArtifactError, match=r"here\.similarity is given for sentence"):
        parse_spec(json.dumps({**TEXT, "similarity": SCALE}), "here")


def with_assets(directory: Path, spec: dict[str, Any], assets: dict[str, Any]) -> None:
    edit_manifest(directory, {"id": spec["id"], "spec": spec, "assets": assets})


def asset(name: str) -> dict[str, Any]:
    return {"name": name, "sha256": "0" * 64, "size_bytes": 1}


def test_assets_are_files_of_the_version(directory: Path) -> None:
    with_assets(directory, TEXT, {"vocabulary": asset("vocab.txt")})
    manifest = read_manifest(directory)
    assert manifest.assets["vocabulary"].name == "vocab.txt"
    assert [file.name for file in manifest.files] == ["float.onnx", "golden.npz", "vocab.txt"]


@pytest.mark.parametrize(
    ("spec", "assets", "says"),
    [
        (TEXT, {}, "assets lacks vocabulary; sentence-similarity needs it"),
        (TEXT, {"vocabulary": asset("../v")}, "file name '../v' is not a plain name"),
        (VOICE, {"vocabulary": asset("v")}, "assets.vocabulary is unknown; audio-classification"),
        (
            {**GAIT, "inputs": [FRAMES]},
            {"conditions": asset("c")},
            "assets has conditions; the graph takes no condition",
        ),
    ],
)
def test_assets_that_do_not_fit_the_task_are_refused(
    directory: Path, spec: dict[str, Any], assets: dict[str, Any], says: str
) -> None:
    with_assets(directory, spec, assets)
    assert says in refusal(directory)


def test_synthetic_weights_are_not_seeded(directory: Path) -> None:
    weights = {"origin": "synthetic", "source": "drawings", "sha256": "0" * 64}
    edit_manifest(directory, {"weights": weights})
    manifest = read_manifest(directory)
    assert not manifest.seeded
    assert manifest.weights.origin == "synthetic"


def test_newest_complete_version_of_each_model(tmp_path: Path) -> None:
    for version in (2, 10):
        model = write_artifact(tmp_path, CLASSIFIER, version=version).parent
    (model / "11").mkdir()
    (tmp_path / ".work").mkdir()
    assert newest_versions(tmp_path) == {
        "face_emotion_xception": tmp_path / "face_emotion_xception" / "10"
    }


@pytest.mark.parametrize("name", ["", "absent"])
def test_a_directory_without_models_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArtifactError, match="holds no model"):
        newest_versions(tmp_path / name)

"""Manifests: read and checked; files verified; versions found."""

import json
from pathlib import Path
from typing import Any

import pytest

from runtime.artifact.manifest import (
    File,
    find_models,
    newest_versions,
    read_manifest,
    verify_file,
    versions,
)
from runtime.errors import ArtifactError
from tests.runtime.support.specs import FRAMES, GAIT, TEXT, VOICE
from tests.support.artifacts import CLASSIFIER, edit_manifest, write_artifact


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


def test_seeded_weights_have_that_origin(tmp_path: Path) -> None:
    assert read_manifest(write_artifact(tmp_path, CLASSIFIER, origin="seeded")).seeded


def test_a_directory_without_manifest_is_incomplete(directory: Path) -> None:
    (directory / "manifest.json").unlink()
    with pytest.raises(ArtifactError, match=r"holds no manifest\.json: not an artifact, or half"):
        read_manifest(directory)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[" * 100_000, '{"schema_version": ' + "1" * 5000 + "}", '{"a": "\\ud800"'],
    ids=["empty", "truncated", "deep", "long number", "truncated string"],
)
def test_text_that_is_not_json_is_refused(directory: Path, text: str) -> None:
    (directory / "manifest.json").write_text(text, encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"manifest\.json is not JSON"):
        read_manifest(directory)


def test_bytes_that_are_no_text_are_refused(directory: Path) -> None:
    (directory / "manifest.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(ArtifactError, match=r"manifest\.json cannot be read"):
        read_manifest(directory)


@pytest.mark.parametrize("version", [2, 0, None, "1", True, 1.5])
def test_other_schemas_are_refused_before_their_fields(directory: Path, version: object) -> None:
    text = refusal(directory, {"schema_version": version, "field_of_tomorrow": 1})
    assert f"schema_version is {version!r}; this runtime reads 1" in text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": 1}, "manifest.json.colour is not a known field"),
        ({"variants": []}, "variants is empty; a version has at least one"),
        ({"id": "other"}, "id is 'other'; its spec says 'face_emotion_xception'"),
        ({"version": "1"}, "manifest.json.version is '1' (str); allowed: int"),
        ({"weights": {"origin": "found"}}, "manifest.json.weights."),
        ({"golden": {"name": "g", "sha256": "0"}}, "manifest.json.golden.size_bytes is missing"),
    ],
)
def test_wrong_fields_are_refused(directory: Path, changes: dict[str, Any], message: str) -> None:
    assert message in refusal(directory, changes)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a/b.onnx", "..", ".", ""])
def test_file_names_cannot_leave_the_directory(directory: Path, name: str) -> None:
    golden = {"name": name, "sha256": "0" * 64, "size_bytes": 1}
    assert f"file name {name!r} is not a plain name" in refusal(directory, {"golden": golden})


def test_a_variant_without_files_is_refused(directory: Path) -> None:
    variant = {**content(directory)["variants"][0], "files": []}
    assert "a variant lists no files" in refusal(directory, {"variants": [variant]})


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


def test_versions_are_complete_and_ordered_by_number(tmp_path: Path) -> None:
    for version in (10, 9, 2):
        write_artifact(tmp_path, CLASSIFIER, version=version)
    model = tmp_path / "face_emotion_xception"
    (model / "11").mkdir()  # without a manifest
    (model / "notes").mkdir()
    (model / "12").touch()
    assert [path.name for path in versions(model)] == ["2", "9", "10"]
    assert versions(tmp_path / "nowhere") == []


def set_assets(directory: Path, spec: dict[str, Any], assets: dict[str, Any]) -> None:
    edit_manifest(directory, {"id": spec["id"], "spec": spec, "assets": assets})


def asset(name: str) -> dict[str, Any]:
    return {"name": name, "sha256": "0" * 64, "size_bytes": 1}


def test_assets_are_files_of_the_version(directory: Path) -> None:
    set_assets(directory, TEXT, {"vocabulary": asset("vocab.txt")})
    manifest = read_manifest(directory)
    assert manifest.assets["vocabulary"].name == "vocab.txt"
    assert [file.name for file in manifest.files] == ["float.onnx", "golden.npz", "vocab.txt"]


@pytest.mark.parametrize(
    ("spec", "assets", "message"),
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
    directory: Path, spec: dict[str, Any], assets: dict[str, Any], message: str
) -> None:
    set_assets(directory, spec, assets)
    assert message in refusal(directory)


def test_synthetic_weights_are_not_seeded(directory: Path) -> None:
    weights = {"origin": "synthetic", "source": "drawings", "sha256": "0" * 64}
    edit_manifest(directory, {"weights": weights})
    manifest = read_manifest(directory)
    assert not manifest.seeded
    assert manifest.weights.origin == "synthetic"


def test_the_newest_complete_version_of_each_model_is_found(tmp_path: Path) -> None:
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
    assert find_models(tmp_path / name) == {}

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from convert.pipeline import cache as module
from convert.pipeline.cache import (
    content_hashes,
    fingerprint,
    recall,
    remember,
    tool_versions,
)
from convert.recipe import RecipeFile, read
from runtime.artifact.manifest import Manifest, read_manifest
from tests.convert.support.tiny import write_recipe
from tests.support.artifacts import CLASSIFIER, write_artifact


@pytest.fixture
def recipe_file(tmp_path: Path) -> RecipeFile:
    return read(write_recipe(tmp_path))


@pytest.fixture
def converted(tmp_path: Path) -> tuple[Path, Manifest]:
    out = tmp_path / "out"
    manifest = read_manifest(write_artifact(out, CLASSIFIER))
    (out / ".work").mkdir()
    remember(out, manifest, "key")
    return out, manifest


def test_everything_that_decides_the_result_decides_the_fingerprint(
    recipe_file: RecipeFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = tmp_path / "weights.pth"
    checkpoint.write_bytes(b"one")
    labels = tmp_path / "labels.txt"
    labels.write_text("left")

    def key(recipe_file: RecipeFile = recipe_file, **settings: Any) -> str:
        return fingerprint(recipe_file, content_hashes(checkpoint), **settings)

    first = key()
    assert key() == first
    others = {
        key(replace(recipe_file, sha256="0" * 64)),
        fingerprint(recipe_file, content_hashes(None)),
        key(labels=labels),
        key(calibration="sha256:1"),
        key(pairs="sha256:1"),
        key(labelled="sha256:1"),
        key(precision="int8"),
        key(search="thorough"),
        key(variants=("fp16",)),
    }
    labels.write_text("right")
    others.add(key(labels=labels))
    checkpoint.write_bytes(b"two")
    others.add(key())
    checkpoint.write_bytes(b"one")
    newer = {**tool_versions(), "onnxruntime": "9.9"}
    monkeypatch.setattr(module, "tool_versions", lambda: newer)
    others.add(key())
    assert first not in others
    assert len(others) == 12


def test_any_file_of_a_checkpoint_directory_decides(tmp_path: Path) -> None:
    directory = tmp_path / "model"
    directory.mkdir()
    hashes = set()
    for name, content in (("config.json", "{}"), ("model.bin", "one"), ("model.bin", "two")):
        (directory / name).write_text(content)
        hashes.add(content_hashes(directory))
    assert len(hashes) == 3


def test_checkpoint_may_be_moved(tmp_path: Path) -> None:
    first, second = tmp_path / "a.pth", tmp_path / "deeper.pth"
    for path in (first, second):
        path.write_bytes(b"same")
    assert content_hashes(first) == content_hashes(second) != ()
    assert content_hashes(tmp_path / "missing.pth") == ()


def test_version_is_recalled(converted: tuple[Path, Manifest]) -> None:
    out, manifest = converted
    assert recall(out, manifest.id, "key") == manifest
    assert recall(out, manifest.id, "another") is None
    assert recall(out, "another", "key") is None


def test_damaged_or_missing_version_is_not_recalled(converted: tuple[Path, Manifest]) -> None:
    out, manifest = converted
    graph = out / manifest.id / "1" / manifest.variants[0].files[0].name
    graph.write_bytes(b"cut")
    assert recall(out, manifest.id, "key") is None
    (out / manifest.id / "1" / "manifest.json").unlink()
    assert recall(out, manifest.id, "key") is None


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", "null", '{"key": "1/../../x"}'])
def test_broken_memory_is_forgotten(converted: tuple[Path, Manifest], content: str) -> None:
    out, manifest = converted
    memory = out / ".work" / f"{manifest.id}.fingerprints.json"
    memory.write_text(content)
    assert recall(out, manifest.id, "key") is None
    remember(out, manifest, "other")
    assert recall(out, manifest.id, "other") == manifest


def test_memory_keeps_earlier_conversions(converted: tuple[Path, Manifest]) -> None:
    out, manifest = converted
    remember(out, manifest, "second")
    assert recall(out, manifest.id, "key") == recall(out, manifest.id, "second") == manifest

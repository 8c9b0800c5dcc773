"""The artifact on disk: locked, published whole or not at all, and found again."""

import io
import json
import multiprocessing
import os
import time
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from convert.package.artifact import (
    file_entry,
    find_existing,
    json_digest,
    next_version,
    publish,
    scratch_directory,
    write_variant,
)
from runtime.artifact.manifest import Manifest, parse_spec, read_manifest
from runtime.errors import ArtifactError
from tests.support.artifacts import CLASSIFIER, DATA, write_artifact

ID = "face_emotion_xception"  # of tests/data/tiny_classifier.onnx


def prepared(scratch: Path, template: Path, *, version: int = 1) -> Manifest:
    """Copy the files of a version to the scratch directory; return their manifest."""
    manifest = read_manifest(template)
    for file in manifest.files:
        (scratch / file.name).write_bytes((template / file.name).read_bytes())
    return replace(manifest, version=version)


@pytest.fixture
def template(tmp_path: Path) -> Path:
    return write_artifact(tmp_path / "template", CLASSIFIER)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def test_the_scratch_directory_is_deleted_after_an_error(out: Path) -> None:
    with pytest.raises(ZeroDivisionError), scratch_directory(out, ID) as scratch:
        (scratch / "half.onnx").write_bytes(bytes(1 // 0))
    assert not scratch.exists()
    assert next_version(out, ID) == 1


def test_the_scratch_directory_of_a_killed_conversion_is_deleted(out: Path) -> None:
    with scratch_directory(out, ID) as scratch:
        stale = scratch.with_name(scratch.name + "stale")
    stale.mkdir()
    (stale / "half.onnx").touch()
    with scratch_directory(out, ID):
        assert not stale.exists()


def test_models_with_similar_ids_do_not_delete_each_others_files(out: Path) -> None:
    # "face-big" begins with "face": a pattern for one must not match the directory of the other
    with scratch_directory(out, "face-big") as scratch:
        with scratch_directory(out, "face"):
            assert scratch.is_dir()
        with scratch_directory(out, "face-bi"):
            assert scratch.is_dir()


def _hold(out: Path, started: Path, finished: Path) -> None:
    with scratch_directory(out, ID):
        started.touch()
        time.sleep(0.5)  # long enough for the other process to ask for the lock
        finished.touch()


def test_a_second_conversion_of_a_model_waits(out: Path, tmp_path: Path) -> None:
    started, finished = tmp_path / "started", tmp_path / "finished"
    process = multiprocessing.get_context("spawn").Process(
        target=_hold, args=(out, started, finished)
    )
    process.start()
    while not started.exists():
        time.sleep(0.01)
    with scratch_directory(out, ID):
        assert finished.exists()
    process.join()


def test_a_published_version_is_complete_and_readable(out: Path, template: Path) -> None:
    with scratch_directory(out, ID) as scratch:
        manifest = prepared(scratch, template)
        (scratch / "candidate.onnx").write_bytes(b"not listed")
        directory = publish(scratch, out, manifest)
    assert directory == out / ID / "1"
    assert read_manifest(directory) == manifest
    listed = {"manifest.json", *(file.name for file in manifest.files)}
    assert {path.name for path in directory.iterdir()} == listed
    assert directory.stat().st_mode & 0o777 == 0o755  # the server may run as another user


def test_a_manifest_that_the_runtime_refuses_is_not_published(out: Path, template: Path) -> None:
    with pytest.raises(ArtifactError), scratch_directory(out, ID) as scratch:
        publish(scratch, out, replace(prepared(scratch, template), id="other"))
    assert not (out / ID).exists()
    assert not (out / "other").exists()


def test_a_version_is_never_replaced(out: Path, template: Path) -> None:
    for _ in range(2):
        with scratch_directory(out, ID) as scratch:
            manifest = prepared(scratch, template)
            if not (out / ID / "1").exists():
                publish(scratch, out, manifest)
            else:
                (out / ID / "1" / "mine.txt").touch()
                with pytest.raises(OSError, match="not empty"):
                    publish(scratch, out, manifest)
    assert (out / ID / "1" / "mine.txt").exists()


def test_the_next_version_follows_the_highest_number_in_use(out: Path) -> None:
    assert next_version(out, ID) == 1
    for name in ("2", "10", "notes", "3.old"):
        (out / ID / name).mkdir(parents=True)
    assert next_version(out, ID) == 11


def test_an_intact_version_is_found_by_its_digest(out: Path, template: Path) -> None:
    with scratch_directory(out, ID) as scratch:
        manifest = prepared(scratch, template)
        directory = publish(scratch, out, manifest)
    assert find_existing(out, ID, manifest.digest) == manifest
    assert find_existing(out, ID, "0" * 64) is None
    graph = directory / manifest.variants[0].files[0].name
    graph.write_bytes(graph.read_bytes()[:-1] + b"x")
    assert find_existing(out, ID, manifest.digest) is None


def test_only_the_newest_version_is_found(out: Path, template: Path) -> None:
    for version in (1, 2):
        with scratch_directory(out, ID) as scratch:
            manifest = replace(prepared(scratch, template, version=version), digest=f"{version}")
            directory = publish(scratch, out, manifest)
    assert find_existing(out, ID, "2") == manifest
    # servers use version 2: a return to the weights of version 1 must become version 3
    assert find_existing(out, ID, "1") is None
    (directory / "manifest.json").write_text('{"schema_version": 99}')
    assert find_existing(out, ID, "2") is None
    assert find_existing(out, ID, "1") is None


def test_a_variant_holds_its_spec_and_no_metadata_of_its_exporter(tmp_path: Path) -> None:
    source = onnx.load(DATA / f"{CLASSIFIER}.onnx")
    spec = parse_spec({entry.key: entry.value for entry in source.metadata_props}["spec"], "spec")
    source.producer_name, source.producer_version = "pytorch", "9.9"
    entry = source.metadata_props.add()
    entry.key, entry.value = "author", "someone"
    onnx.save(source, tmp_path / "source.onnx")
    write_variant(tmp_path / "source.onnx", tmp_path / "float.onnx", spec)
    variant = onnx.load(tmp_path / "float.onnx")
    assert [entry.key for entry in variant.metadata_props] == ["spec"]
    assert parse_spec(variant.metadata_props[0].value, "spec") == spec
    assert (variant.producer_name, variant.producer_version) == ("slipway", "")
    write_variant(tmp_path / "source.onnx", tmp_path / "again.onnx", spec)
    assert (tmp_path / "again.onnx").read_bytes() == (tmp_path / "float.onnx").read_bytes()


def test_a_file_entry_has_name_size_and_hash(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"abc")
    file = file_entry(tmp_path / "a.bin")
    assert (file.name, file.size_bytes) == ("a.bin", 3)
    assert file.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_json_digest_depends_on_content_and_not_on_key_order() -> None:
    assert json_digest({"a": 1, "b": (2, 3)}) == json_digest({"b": [2, 3], "a": 1})
    assert json_digest({"a": 1, "b": (2, 3)}) != json_digest({"a": 1, "b": (3, 2)})


def test_a_full_disk_leaves_nothing_behind(
    out: Path, template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"), scratch_directory(out, ID) as scratch:
        publish(scratch, out, prepared(scratch, template))
    assert not (out / ID).exists()
    assert not scratch.exists()


def test_manifest_is_plain_json(out: Path, template: Path) -> None:
    with scratch_directory(out, ID) as scratch:
        directory = publish(scratch, out, prepared(scratch, template))
    content = json.load(io.StringIO((directory / "manifest.json").read_text(encoding="utf-8")))
    assert content["id"] == ID

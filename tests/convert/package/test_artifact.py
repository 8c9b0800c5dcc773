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
    describe,
    digest,
    existing,
    locked,
    next_version,
    publish,
    write_variant,
)
from runtime.artifact.manifest import Manifest, parse_spec, read_manifest
from runtime.errors import ArtifactError
from tests.support.artifacts import CLASSIFIER, DATA, write_artifact

ID = "face_emotion_xception"  # of tests/data/tiny_classifier.onnx


def prepared(scratch: Path, template: Path, *, version: int = 1) -> Manifest:
    """Files in the scratch directory, and the manifest for them."""
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


def test_scratch_is_removed_whatever_happens(out: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(out, ID) as scratch:
        (scratch / "half.onnx").write_bytes(bytes(1 // 0))
    assert not scratch.exists()
    assert next_version(out, ID) == 1


def test_what_a_killed_conversion_left_is_removed(out: Path) -> None:
    with locked(out, ID) as scratch:
        left = scratch.with_name(scratch.name + "left")
    left.mkdir()
    (left / "half.onnx").touch()
    with locked(out, ID):
        assert not left.exists()


def test_models_of_similar_ids_leave_each_other_alone(out: Path) -> None:
    # "face" is the beginning of "face-big": its conversion must not sweep away the other's files
    with locked(out, "face-big") as scratch:
        with locked(out, "face"):
            assert scratch.is_dir()
        with locked(out, "face-bi"):
            assert scratch.is_dir()


def _hold(out: Path, started: str, seconds: float) -> None:
    with locked(out, ID):
        Path(started).touch()
        time.sleep(seconds)


def test_second_conversion_of_a_model_waits(out: Path, tmp_path: Path) -> None:
    started = tmp_path / "started"
    process = multiprocessing.get_context("spawn").Process(
        target=_hold, args=(out, str(started), 1.0)
    )
    process.start()
    while not started.exists():
        time.sleep(0.01)
    before = time.perf_counter()
    with locked(out, ID):
        waited = time.perf_counter() - before
    process.join()
    assert waited > 0.5


def test_publish_puts_a_complete_readable_version_in_place(out: Path, template: Path) -> None:
    with locked(out, ID) as scratch:
        manifest = prepared(scratch, template)
        (scratch / "candidate.onnx").write_bytes(b"not listed")
        directory = publish(scratch, out, manifest)
    assert directory == out / ID / "1"
    assert read_manifest(directory) == manifest
    listed = {"manifest.json", *(file.name for file in manifest.files)}
    assert {path.name for path in directory.iterdir()} == listed
    assert directory.stat().st_mode & 0o777 == 0o755  # the server's user is another


def test_publish_refuses_what_the_runtime_would_not_read(out: Path, template: Path) -> None:
    with pytest.raises(ArtifactError), locked(out, ID) as scratch:
        publish(scratch, out, replace(prepared(scratch, template), id="other"))
    assert not (out / ID).exists()
    assert not (out / "other").exists()


def test_publish_never_replaces_a_version(out: Path, template: Path) -> None:
    for _ in range(2):
        with locked(out, ID) as scratch:
            manifest = prepared(scratch, template)
            if not (out / ID / "1").exists():
                publish(scratch, out, manifest)
            else:
                (out / ID / "1" / "mine.txt").touch()
                with pytest.raises(OSError, match="not empty"):
                    publish(scratch, out, manifest)
    assert (out / ID / "1" / "mine.txt").exists()


def test_versions_count_on_from_the_highest_number_in_use(out: Path) -> None:
    assert next_version(out, ID) == 1
    for name in ("2", "10", "notes", "3.old"):
        (out / ID / name).mkdir(parents=True)
    assert next_version(out, ID) == 11


def test_existing_is_found_by_digest_if_whole(out: Path, template: Path) -> None:
    with locked(out, ID) as scratch:
        manifest = prepared(scratch, template)
        directory = publish(scratch, out, manifest)
    assert existing(out, ID, manifest.digest) == manifest
    assert existing(out, ID, "0" * 64) is None
    graph = directory / manifest.variants[0].files[0].name
    graph.write_bytes(graph.read_bytes()[:-1] + b"x")
    assert existing(out, ID, manifest.digest) is None


def test_only_the_newest_version_counts_as_existing(out: Path, template: Path) -> None:
    for version in (1, 2):
        with locked(out, ID) as scratch:
            manifest = replace(prepared(scratch, template, version=version), digest=f"{version}")
            directory = publish(scratch, out, manifest)
    assert existing(out, ID, "2") == manifest
    # servers take version 2: going back to what 1 was must make a version 3
    assert existing(out, ID, "1") is None
    (directory / "manifest.json").write_text('{"schema_version": 99}')
    assert existing(out, ID, "2") is None
    assert existing(out, ID, "1") is None


def test_variant_carries_its_spec_and_nothing_of_its_exporter(tmp_path: Path) -> None:
    source = onnx.load(DATA / f"{CLASSIFIER}.onnx")
    spec = parse_spec({entry.key: entry.value for entry in source.metadata_props}["spec"], "spec")
    source.producer_name, source.producer_version = "pytorch", "9.9"
    entry = source.metadata_props.add()
    entry.key, entry.value = "author", "someone"
    onnx.save(source, tmp_path / "source.onnx")
    write_variant(tmp_path / "source.onnx", tmp_path / "float.onnx", spec)
    found = onnx.load(tmp_path / "float.onnx")
    assert [entry.key for entry in found.metadata_props] == ["spec"]
    assert parse_spec(found.metadata_props[0].value, "spec") == spec
    assert (found.producer_name, found.producer_version) == ("slipway", "")
    write_variant(tmp_path / "source.onnx", tmp_path / "again.onnx", spec)
    assert (tmp_path / "again.onnx").read_bytes() == (tmp_path / "float.onnx").read_bytes()


def test_description_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"abc")
    file = describe(tmp_path / "a.bin")
    assert (file.name, file.size_bytes) == ("a.bin", 3)
    assert file.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_digest_follows_content_not_order() -> None:
    assert digest({"a": 1, "b": (2, 3)}) == digest({"b": [2, 3], "a": 1})
    assert digest({"a": 1, "b": (2, 3)}) != digest({"a": 1, "b": (3, 2)})


def test_disk_full_while_publishing_leaves_nothing(
    out: Path, template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"), locked(out, ID) as scratch:
        publish(scratch, out, prepared(scratch, template))
    assert not (out / ID).exists()
    assert not scratch.exists()


def test_manifest_is_plain_json(out: Path, template: Path) -> None:
    with locked(out, ID) as scratch:
        directory = publish(scratch, out, prepared(scratch, template))
    content = json.load(io.StringIO((directory / "manifest.json").read_text(encoding="utf-8")))
    assert content["id"] == ID

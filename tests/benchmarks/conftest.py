"""Artifacts that can be measured: with encoded samples and, one of them, with two variants."""

import shutil
from pathlib import Path

import pytest

from runtime.artifact.golden import golden_arrays, read_golden
from runtime.artifact.manifest import read_manifest
from runtime.artifact.schema import to_json
from tests.support.artifacts import (
    CLASSIFIER,
    SEGMENTATION,
    edit_manifest,
    file_entry,
    rewrite_golden,
    write_artifact,
)
from tests.support.images import half_white, png, solid

FACES, MASKS = "face_emotion_xception", "background_u2netp"  # the ids of those graphs
MEDIA = (png(half_white()), solid(10, 200, 30, height=40, width=40))


@pytest.fixture(scope="session")
def measurable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a classifier of one variant and a seeded segmenter of two. Read only."""
    root = tmp_path_factory.mktemp("measurable")
    add_media(write_artifact(root, CLASSIFIER))
    directory = write_artifact(root, SEGMENTATION, origin="seeded", version=3)
    add_media(directory)
    add_int8(directory)
    (root / ".work").mkdir()
    return root


def add_media(directory: Path) -> None:
    """Add two encoded files to the golden samples, which hold inputs and outputs alone."""
    golden = read_golden(directory, read_manifest(directory))
    arrays = golden_arrays(MEDIA, (), golden.inputs, golden.outputs)
    rewrite_golden(directory, arrays)


def add_int8(directory: Path) -> None:
    """Put an "int8" variant, in truth a copy of the float graph, before the float one."""
    path = directory / "int8.onnx"
    shutil.copyfile(directory / "float.onnx", path)
    variant = to_json(read_manifest(directory).variants[0])
    better = {**variant, "name": "int8", "precision": "int8", "files": [to_json(file_entry(path))]}
    edit_manifest(directory, {"variants": [better, variant]})

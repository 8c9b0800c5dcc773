"""Write artifacts that can be measured."""

import shutil
from pathlib import Path

from runtime.artifact.manifest import read_manifest
from runtime.artifact.schema import to_json
from tests.support.artifacts import (
    CLASSIFIER,
    SEGMENTATION,
    add_samples,
    edit_manifest,
    file_entry,
    write_artifact,
)
from tests.support.images import half_white, png, solid

FACES, MASKS = "face_emotion_xception", "background_u2netp"  # the ids of those graphs
MEDIA = (png(half_white()), solid(10, 200, 30, height=40, width=40))


def write_measurable(root: Path) -> None:
    """Write a classifier of one variant and a seeded segmenter of two, with encoded samples."""
    add_samples(write_artifact(root, CLASSIFIER), *MEDIA)
    directory = write_artifact(root, SEGMENTATION, origin="seeded", version=3)
    add_samples(directory, *MEDIA)
    _add_int8(directory)
    (root / ".work").mkdir()


def _add_int8(directory: Path) -> None:
    """Put a copy of the float graph before it, as a variant named int8."""
    path = directory / "int8.onnx"
    shutil.copyfile(directory / "float.onnx", path)
    variant = to_json(read_manifest(directory).variants[0])
    better = {**variant, "name": "int8", "precision": "int8", "files": [to_json(file_entry(path))]}
    edit_manifest(directory, {"variants": [better, variant]})

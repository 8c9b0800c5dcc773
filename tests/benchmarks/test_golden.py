from pathlib import Path

import numpy as np
import pytest

from benchmarks.golden import read_golden
from runtime.artifact.manifest import read_manifest
from runtime.errors import ArtifactError
from tests.benchmarks.conftest import MEDIA, add_media
from tests.support.artifacts import CLASSIFIER, write_artifact


def test_samples_are_batches_of_one_and_files_as_they_were(tmp_path: Path) -> None:
    directory = write_artifact(tmp_path, CLASSIFIER)
    add_media(directory)
    manifest = read_manifest(directory)
    found = read_golden(directory, manifest)
    assert found.media == MEDIA
    name = manifest.spec.inputs[0].name
    with np.load(directory / "golden.npz") as arrays:
        batch = arrays[f"input/{name}"]
    assert len(found.feeds) == len(batch) == 2
    for row, feeds in zip(batch, found.feeds, strict=True):
        np.testing.assert_array_equal(feeds[name], row[np.newaxis])


def test_golden_without_media_is_refused(tmp_path: Path) -> None:
    directory = write_artifact(tmp_path, CLASSIFIER)
    with pytest.raises(ArtifactError, match=r"golden\.npz holds no media/0"):
        read_golden(directory, read_manifest(directory))


def test_golden_that_the_manifest_does_not_name_is_refused(tmp_path: Path) -> None:
    directory = write_artifact(tmp_path, CLASSIFIER)
    manifest = read_manifest(directory)
    add_media(directory)
    with pytest.raises(ArtifactError, match=r"golden\.npz has \d+ bytes"):
        read_golden(directory, manifest)

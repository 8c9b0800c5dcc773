from pathlib import Path

import numpy as np
import pytest

from runtime.artifact.golden import Golden, golden_arrays, read_golden
from runtime.artifact.manifest import read_manifest
from runtime.errors import ArtifactError
from tests.support.artifacts import CLASSIFIER, rewrite_golden, write_artifact

MEDIA = (b"first", b"second")


def read(directory: Path, *, require_media: bool = False) -> Golden:
    return read_golden(directory, read_manifest(directory), require_media=require_media)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Write a version with two samples of inputs and outputs, and no media."""
    return write_artifact(tmp_path, CLASSIFIER)


def test_samples_are_read_as_they_were_written(directory: Path) -> None:
    before = read(directory)
    arrays = golden_arrays(MEDIA, (None, "stroke"), before.inputs, before.outputs)
    rewrite_golden(directory, arrays)
    golden = read(directory, require_media=True)
    assert golden.media == MEDIA
    assert golden.conditions == (None, "stroke")
    np.testing.assert_array_equal(golden.outputs["probabilities"], before.outputs["probabilities"])
    assert golden.count == 2
    batch = golden.inputs["image"]
    assert len(batch) == 2
    for number in range(2):
        np.testing.assert_array_equal(golden.feeds(number)["image"], batch[number : number + 1])


def test_media_are_optional_unless_required(directory: Path) -> None:
    assert read(directory).media == ()
    with pytest.raises(ArtifactError, match=r"golden\.npz holds no media/0"):
        read(directory, require_media=True)


@pytest.mark.parametrize("name", ["input/image", "output/probabilities", "media/0"])
def test_a_missing_array_is_named(directory: Path, name: str) -> None:
    golden = read(directory)
    arrays = golden_arrays(MEDIA, (), golden.inputs, golden.outputs)
    del arrays[name]
    rewrite_golden(directory, arrays)
    with pytest.raises(ArtifactError, match=rf"golden\.npz holds no {name}$"):
        read(directory)


def test_different_numbers_of_samples_are_refused(directory: Path) -> None:
    golden = read(directory)
    rewrite_golden(directory, golden_arrays(MEDIA[:1], (), golden.inputs, golden.outputs))
    counts = "image 2, probabilities 2, media 1"
    with pytest.raises(ArtifactError, match=rf"golden\.npz: samples differ .*: {counts}$"):
        read(directory)


def test_a_file_that_the_manifest_does_not_name_is_refused(directory: Path) -> None:
    with (directory / "golden.npz").open("ab") as stream:
        stream.write(b"\0")
    with pytest.raises(ArtifactError, match=r"golden\.npz has \d+ bytes"):
        read(directory)


def test_a_file_of_another_format_is_refused(directory: Path) -> None:
    rewrite_golden(directory, {"input/image": np.array([{}], dtype=object)}, pickle=True)
    with pytest.raises(ArtifactError, match=r"golden\.npz is no file of numpy arrays: Object"):
        read(directory)

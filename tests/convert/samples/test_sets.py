import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convert.errors import CalibrationError
from convert.models.image_embedding_mobilenetv2 import RECIPE
from convert.recipe import Loaded
from convert.samples import procedural
from convert.samples import sets as sample_sets
from convert.samples.sets import (
    SYNTHETIC_CALIBRATION,
    Samples,
    collate,
    complete_calibration,
    find_media,
    from_files,
    same_shape_indices,
    synthetic_sets,
)
from runtime.artifact.manifest import CenterCrop, Resize, Step
from runtime.media.images.preprocess import preprocess
from tests.convert.support import nets
from tests.convert.support.calibration_images import write_images


def loaded(*steps: Step) -> Loaded:
    return replace(nets.loaded(nets.convolutions(layers=1)), preprocess=steps)


LOADED = loaded(Resize("linear", height=8, width=6))


def levels(samples: Samples) -> list[int]:
    return sorted(int(feeds["image"].flat[0]) for feeds in samples)


def same(first: Samples, second: Samples) -> bool:
    return bool((collate(first)["image"] == collate(second)["image"]).all())


def test_directory_is_split_into_disjoint_sets(tmp_path: Path) -> None:
    media = from_files(find_media(write_images(tmp_path / "images", 9), RECIPE), RECIPE, LOADED)
    assert collate(media.calibration)["image"].shape == (3, 8, 6, 3)
    parts = (media.calibration, media.validation, media.test)
    assert sorted(level for part in parts for level in levels(part)) == list(range(9))
    assert [len(part) for part in parts] == [3, 3, 3]


def test_split_and_digest_follow_contents_not_names(tmp_path: Path) -> None:
    directory = write_images(tmp_path / "images", 9)
    renamed = tmp_path / "renamed"
    for index, path in enumerate(sorted(directory.iterdir())):
        target = renamed / "deeper" / f"{9 - index}.PNG"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    first, second = (
        from_files(find_media(directory, RECIPE), RECIPE, LOADED),
        from_files(find_media(renamed, RECIPE), RECIPE, LOADED),
    )
    assert first.source == second.source == find_media(renamed, RECIPE).digest
    assert first.source.startswith("sha256:")
    assert same(first.calibration, second.calibration)
    assert same(first.validation, second.validation)


def test_equal_images_count_once_and_change_nothing(tmp_path: Path) -> None:
    directory = write_images(tmp_path / "images", 8)
    before = find_media(directory, RECIPE).digest
    for path in sorted(directory.iterdir()):
        shutil.copy(path, directory / f"copy-{path.name}")
    assert find_media(directory, RECIPE).digest == before
    media = from_files(find_media(directory, RECIPE), RECIPE, LOADED)
    assert len(media.calibration) + len(media.validation) + len(media.test) == 8


def test_another_image_is_another_digest(tmp_path: Path) -> None:
    directory = write_images(tmp_path / "images", 8)
    before = find_media(directory, RECIPE).digest
    write_images(directory, 9)
    assert find_media(directory, RECIPE).digest != before


def test_too_few_images_are_refused(tmp_path: Path) -> None:
    directory = write_images(tmp_path / "images", 7)
    (directory / "notes.txt").write_text("no image")
    with pytest.raises(CalibrationError, match=r"images: 7 different images .* at least 8"):
        from_files(find_media(directory, RECIPE), RECIPE, LOADED)


def test_unreadable_image_is_named(tmp_path: Path) -> None:
    directory = write_images(tmp_path / "images", 8)
    (directory / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    with pytest.raises(CalibrationError, match=r"broken\.png: "):
        from_files(find_media(directory, RECIPE), RECIPE, LOADED)


def test_no_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match=r"nowhere: no such directory"):
        find_media(tmp_path / "nowhere", RECIPE)


def test_images_over_the_maximum_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample_sets, "MAX_FILES_PER_SET", 3)
    media = from_files(find_media(write_images(tmp_path / "images", 15), RECIPE), RECIPE, LOADED)
    # what the search does not need is for the test
    assert [len(media.calibration), len(media.validation), len(media.test)] == [3, 3, 9]
    for limit, value in (
        ("MAX_TEST_FILES", 5),
        ("MAX_TEST_BYTES", 5 * media.test[0]["image"].nbytes),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(sample_sets, limit, value)
            fewer = from_files(find_media(tmp_path / "images", RECIPE), RECIPE, LOADED)
        assert len(fewer.test) == 5
        assert fewer.notes[0] == "4 more images than are used, at most 11"


def test_synthetic_media_are_preprocessed_as_served() -> None:
    steps = (Resize("linear_antialias", shortest_side=36), CenterCrop(32, 32))
    media = synthetic_sets(RECIPE, loaded(*steps))
    assert media.source == "synthetic"
    assert collate(media.calibration)["image"].shape == (SYNTHETIC_CALIBRATION, 32, 32, 3)
    assert len(media.validation) == 16
    second = procedural.generate_images("scene", procedural.EVALUATION, 2)[1]
    np.testing.assert_array_equal(media.validation[1]["image"][0], preprocess(second, steps))
    assert len(media.test) == 16
    *_, last = procedural.generate_images("scene", procedural.EVALUATION, 32)
    np.testing.assert_array_equal(media.test[-1]["image"][0], preprocess(last, steps))


def test_synthetic_samples_are_added_to_a_small_calibration_set_only(tmp_path: Path) -> None:
    sets = from_files(find_media(write_images(tmp_path / "images", 10), RECIPE), RECIPE, LOADED)
    media = complete_calibration(sets, RECIPE, LOADED)
    assert len(media.calibration) == 4 + SYNTHETIC_CALIBRATION
    assert same(media.calibration[:4], sets.calibration)
    assert (media.validation, media.test) == (sets.validation, sets.test)
    enough = replace(sets, calibration=sets.calibration * 8)
    assert complete_calibration(enough, RECIPE, LOADED) is enough


def test_same_shape_indices_are_repeated_up_to_the_count() -> None:
    equal, other = {"x": np.zeros((1, 4))}, {"x": np.zeros((1, 5))}
    assert same_shape_indices([equal, other, equal], 3) == [0, 2, 0]
    assert same_shape_indices([equal, other], 3) == [0, 0, 0]
    texts = [{"attention_mask": np.ones((1, length), np.int64)} for length in (3, 5)]
    assert same_shape_indices(texts, 3) == [0, 1, 0]


def test_a_folder_has_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = write_images(tmp_path / "images", 9)
    (directory / "below").mkdir()
    monkeypatch.setattr(sample_sets, "MAX_FOLDER_ENTRIES", 10)
    assert len(find_media(directory, RECIPE).paths) == 9
    monkeypatch.setattr(sample_sets, "MAX_FOLDER_ENTRIES", 9)
    with pytest.raises(CalibrationError, match="images: more than 9 files and folders; name a"):
        find_media(directory, RECIPE)
    monkeypatch.undo()
    monkeypatch.setattr(sample_sets, "MAX_FOLDER_BYTES", 200)
    with pytest.raises(CalibrationError, match="images: more than 200 bytes of media"):
        find_media(directory, RECIPE)
    monkeypatch.undo()
    huge = directory / "huge.png"
    huge.touch()
    os.truncate(huge, 2**31 + 1)  # no byte of it is on the disk, and none is read
    with pytest.raises(CalibrationError, match=r"huge\.png: 2147483649 bytes; allowed: 2147483648"):
        find_media(directory, RECIPE)


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    directory = write_images(tmp_path / "images", 9)
    (directory / "again").symlink_to(directory)
    (directory / "itself.png").symlink_to(directory / "itself.png")
    (directory / "nowhere.png").symlink_to(tmp_path / "nowhere")
    (directory / "linked.png").symlink_to(write_images(tmp_path / "more", 12) / "011.png")
    os.mkfifo(directory / "pipe.png")
    assert len(find_media(directory, RECIPE).paths) == 10


def test_a_folder_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = write_images(tmp_path / "images", 9)

    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(sample_sets, "sha256", refuse)
    with pytest.raises(CalibrationError, match=r"0\.png: Permission denied"):
        find_media(directory, RECIPE)

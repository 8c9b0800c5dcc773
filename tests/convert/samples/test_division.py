"""The division of media: some guide the search, others judge its result."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from convert.gate.evidence import MIN_SOURCES
from convert.recipe import Tolerance
from convert.samples.division import MIN_GUIDES, Division, in_turn, judges_first
from convert.samples.origins import distinct_rows
from convert.samples.sets import find_media, from_files
from runtime.artifact.manifest import Resize
from tests.convert.support import nets

LOADED = replace(
    nets.loaded(nets.convolutions(layers=1)), preprocess=(Resize("linear", height=32, width=32),)
)
RECIPE = nets.recipe(Tolerance())


def single(count: int) -> list[tuple[int, ...]]:
    return [(row,) for row in range(count)]


def sizes(division: Division | None) -> tuple[int, int, int] | None:
    if division is None:
        return None
    return len(division.calibration), len(division.validation), len(division.test)


@pytest.mark.parametrize(
    ("origins", "expected"),
    [
        (57, None),
        (58, (8, 8, 50)),
        (64, (14, 14, 50)),
        (98, (24, 24, 74)),
        (255, (63, 63, 192)),
        (256, (32, 32, 192)),
        (400, (64, 64, 256)),
    ],
)
def test_the_judges_are_set_aside_first(
    origins: int, expected: tuple[int, int, int] | None
) -> None:
    division = judges_first(single(origins), 256)
    assert sizes(division) == expected
    if division is None or expected is None:
        return
    guides = {*division.calibration, *division.validation}
    assert not guides & set(division.test)
    assert division.calibration == division.validation or len(guides) == sum(expected[:2])
    assert max(*guides, *division.test) < origins


def test_at_most_so_many_judge_as_memory_allows() -> None:
    assert sizes(judges_first(single(232), 104)) == (64, 64, 104)
    assert sizes(judges_first(single(150), 60)) == (45, 45, 60)


def test_origins_with_look_alikes_guide_and_one_of_each_is_used() -> None:
    origins = [*((row,) for row in range(58)), (58, 60), (59,)]
    division = judges_first(origins, 256)
    assert division is not None
    assert 58 in division.calibration
    assert 60 not in (*division.calibration, *division.test)
    assert len(division.calibration) + len(division.test) == 60


def test_too_few_go_in_turn() -> None:
    assert [list(rows) for rows in in_turn(10, 3)] == [[0, 3, 6], [1, 4, 7], [2, 5, 8, 9]]


def write_photos(directory: Path, count: int, copies: int = 0) -> Path:
    """Write images of different origin, and some of them again as JPEG."""
    directory.mkdir()
    for number in range(count):
        noise = np.random.default_rng(number).integers(0, 256, (6, 6, 3), np.uint8)
        image = cv2.resize(noise, (48, 48))
        assert cv2.imwrite(str(directory / f"{number}.png"), image)
        if number < copies:
            assert cv2.imwrite(str(directory / f"{number}.jpg"), image)
    return directory


def test_the_judges_of_a_folder_share_no_origin_with_the_guides(tmp_path: Path) -> None:
    count = MIN_SOURCES + MIN_GUIDES
    media = find_media(write_photos(tmp_path / "photos", count, copies=3), RECIPE)
    sets = from_files(media, RECIPE, LOADED)
    assert (len(sets.calibration), len(sets.test)) == (MIN_GUIDES, MIN_SOURCES)
    assert sets.validation == sets.calibration
    assert sets.sources == tuple(range(MIN_SOURCES))
    assert sets.division == (
        "50 images of different origin judge INT8; its ranges are measured and its graphs "
        "compared on 8 others"
    )
    assert sets.notes == (sets.division, "3 images look like others, and are not used")
    both = distinct_rows((*sets.calibration, *sets.test))
    assert len(both) == count


def test_tasks_without_bounds_of_their_own_go_in_turn(tmp_path: Path) -> None:
    media = find_media(write_photos(tmp_path / "photos", 60), RECIPE)
    embeddings = replace(RECIPE, task="image-feature-extraction")
    sets = from_files(media, embeddings, LOADED)
    assert [len(part) for part in (sets.calibration, sets.validation, sets.test)] == [20, 20, 20]
    assert sets.division == ""

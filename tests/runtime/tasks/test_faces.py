"""What is cut out around a face, and whose box is whose."""

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.tasks.augmentation import VIEWS, View
from runtime.tasks.faces import FaceBoxes, Rectangle, match_face, order_by_area, square_around

Floats = NDArray[np.float32]


def box(*corners: float) -> Floats:
    return np.array(corners, np.float32)


def boxes(*rows: tuple[float, float, float, float]) -> FaceBoxes:
    count = len(rows)
    corners = np.array(rows, np.float32).reshape(count, 4)
    scores = np.linspace(0.9, 0.5, count, dtype=np.float32)
    return FaceBoxes(corners, scores, scores[:, np.newaxis])


@pytest.mark.parametrize(
    ("face", "margin", "region"),
    [
        ((40, 30, 60, 50), 0.0, (40, 30, 60, 50)),
        ((40, 30, 60, 50), 0.25, (35, 25, 65, 55)),  # 20 px and a quarter on each side
        ((45, 30, 55, 50), 0.0, (40, 30, 60, 50)),  # narrow: as wide as it is high
        ((0, 30, 20, 50), 0.25, (0, 25, 30, 55)),  # moved to the right, not cut
        ((180, 80, 200, 100), 0.25, (170, 70, 200, 100)),
        ((50, 5, 140, 95), 0.2, (45, 0, 145, 100)),  # 126 px do not fit: the margin goes
    ],
)
def test_a_square_around_a_face(
    face: tuple[float, ...], margin: float, region: tuple[int, ...]
) -> None:
    assert square_around(box(*face), height=100, width=200, margin=margin) == Rectangle(*region)


def test_a_face_longer_than_the_picture_is_wide_is_not_cut() -> None:
    assert square_around(box(0, 20, 40, 90), height=100, width=50, margin=0.5) == Rectangle(
        0, 20, 50, 90
    )


@pytest.mark.parametrize("seed", range(20))
def test_regions_lie_within_and_hold_the_face(seed: int) -> None:
    draw = np.random.default_rng(seed)
    for _ in range(200):
        height, width = (int(side) for side in draw.integers(1, 300, 2))
        left, right = np.sort(draw.uniform(0, width, 2))
        top, bottom = np.sort(draw.uniform(0, height, 2))
        margin = float(draw.uniform(0, 1))
        face = box(left, top, right, bottom)
        found = square_around(face, height=height, width=width, margin=margin)
        across, down = found.right - found.left, found.bottom - found.top
        assert 0 <= found.left < found.right <= width
        assert 0 <= found.top < found.bottom <= height
        # rounding to whole px may cost one on either side
        assert found.left <= left + 1
        assert found.top <= top + 1
        assert found.right >= right - 1
        assert found.bottom >= bottom - 1
        longer = max(right - left, bottom - top)
        assert across == down or longer > min(height, width) - 0.5


def test_the_largest_face_is_first_and_equal_ones_by_score() -> None:
    found = boxes((0, 0, 10, 10), (0, 0, 20, 20), (30, 0, 40, 10), (5, 5, 25, 25))
    assert order_by_area(found).tolist() == [1, 3, 0, 2]


def test_a_faces_best_box() -> None:
    face = box(10, 10, 30, 30)
    found = boxes((100, 100, 120, 120), (8, 8, 34, 34), (10, 10, 30, 30))
    assert match_face(found, face) == 1  # the better score, not the closer fit
    assert match_face(boxes((100, 100, 120, 120)), face) is None
    assert match_face(boxes((25, 25, 45, 45)), face) is None  # 25 px of 775
    assert match_face(boxes(), face) is None
    assert match_face(found, None) == 0
    assert match_face(boxes(), None) is None


def picture(height: int = 40, width: int = 60) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def test_variants_are_always_the_same() -> None:
    assert [len(VIEWS[name]) for name in ("none", "flip", "full")] == [1, 2, 6]
    image = picture()
    for variant in VIEWS["full"]:
        np.testing.assert_array_equal(variant.apply(image), variant.apply(image))
        assert variant.apply(image).shape == image.shape
        assert variant.apply(image).dtype.name == "uint8"


def test_variants_do_what_they_say() -> None:
    image = picture()
    plain, mirrored, *_, darker, brighter = (each.apply(image) for each in VIEWS["full"])
    np.testing.assert_array_equal(plain, image)
    np.testing.assert_array_equal(mirrored, image[:, ::-1])
    exact = image.astype(float)
    assert np.abs(darker - exact * 0.8).max() <= 0.51  # rounded
    assert np.abs(brighter - (exact * 1.25).clip(0, 255)).max() <= 0.51


@pytest.mark.parametrize("variant", VIEWS["full"], ids=lambda variant: variant.name)
@pytest.mark.parametrize("size", [(200, 300), (3000, 1000)])
def test_a_box_moves_with_its_picture(variant: View, size: tuple[int, int]) -> None:
    height, width = size
    image = np.zeros((height, width, 3), np.uint8)
    left, top, side = width // 8, height // 4, width // 10
    image[top : top + side, left : left + side] = 200
    made = variant.apply(image)
    face = box(left, top, left + side, top + side)
    moved = variant.move_box(face, before=size, after=(made.shape[0], made.shape[1]))
    rows, columns = np.nonzero(made[:, :, 0] > 100)
    middle = np.array([columns.mean() + 0.5, rows.mean() + 0.5])
    np.testing.assert_allclose(moved.reshape(2, 2).mean(axis=0), middle, atol=0.5)  # px


@pytest.mark.parametrize("size", [(1, 1), (1, 40_000), (40_000, 2), (1, 7)])
def test_variants_of_odd_sizes(size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 90, np.uint8)
    for variant in VIEWS["full"]:
        made = variant.apply(image)
        assert made.ndim == 3
        assert 0 not in made.shape
        assert made.shape[2] == 3
        assert not variant.degrees or max(made.shape) <= 1024

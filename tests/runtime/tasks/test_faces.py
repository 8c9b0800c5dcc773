"""Squares around faces, and boxes matched to faces."""

import numpy as np
import pytest
from numpy.typing import NDArray

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
    ("face", "margin", "corners"),
    [
        ((40, 30, 60, 50), 0.0, (40, 30, 60, 50)),
        ((40, 30, 60, 50), 0.25, (35, 25, 65, 55)),  # 20 px and a quarter on each side
        ((45, 30, 55, 50), 0.0, (40, 30, 60, 50)),  # narrow: as wide as it is high
        ((0, 30, 20, 50), 0.25, (0, 25, 30, 55)),  # moved to the right
        ((180, 80, 200, 100), 0.25, (170, 70, 200, 100)),
        ((50, 5, 140, 95), 0.2, (45, 0, 145, 100)),  # 126 px do not fit: a smaller margin
    ],
)
def test_a_square_is_cut_around_a_face(
    face: tuple[float, ...], margin: float, corners: tuple[int, ...]
) -> None:
    assert square_around(box(*face), height=100, width=200, margin=margin) == Rectangle(*corners)


def test_a_face_longer_than_the_image_is_wide_keeps_its_length() -> None:
    assert square_around(box(0, 20, 40, 90), height=100, width=50, margin=0.5) == Rectangle(
        0, 20, 50, 90
    )


@pytest.mark.parametrize("seed", range(20))
def test_squares_lie_within_the_image_and_hold_the_face(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(200):
        height, width = (int(side) for side in rng.integers(1, 300, 2))
        left, right = np.sort(rng.uniform(0, width, 2))
        top, bottom = np.sort(rng.uniform(0, height, 2))
        margin = float(rng.uniform(0, 1))
        face = box(left, top, right, bottom)
        square = square_around(face, height=height, width=width, margin=margin)
        columns, rows = square.right - square.left, square.bottom - square.top
        assert 0 <= square.left < square.right <= width
        assert 0 <= square.top < square.bottom <= height
        # rounding to whole px may take one px on either side
        assert square.left <= left + 1
        assert square.top <= top + 1
        assert square.right >= right - 1
        assert square.bottom >= bottom - 1
        longer = max(right - left, bottom - top)
        assert columns == rows or longer > min(height, width) - 0.5


def test_faces_are_ordered_by_area_then_by_score() -> None:
    detections = boxes((0, 0, 10, 10), (0, 0, 20, 20), (30, 0, 40, 10), (5, 5, 25, 25))
    assert order_by_area(detections).tolist() == [1, 3, 0, 2]


def test_the_best_box_that_overlaps_a_face_matches_it() -> None:
    face = box(10, 10, 30, 30)
    detections = boxes((100, 100, 120, 120), (8, 8, 34, 34), (10, 10, 30, 30))
    assert match_face(detections, face) == 1  # the better score, not the closer fit
    assert match_face(boxes((100, 100, 120, 120)), face) is None
    assert match_face(boxes((25, 25, 45, 45)), face) is None  # 25 px of 775
    assert match_face(boxes(), face) is None
    assert match_face(detections, None) == 0
    assert match_face(boxes(), None) is None

"""Boxes and labels, on images of any size."""

import numpy as np
import pytest

from runtime.draw import Box, draw_boxes
from runtime.draw.canvas import LARGEST_PX, NARROWEST_PX, SMALLEST_PX, palette
from runtime.draw.text import text_width
from tests.runtime.support.drawings import GREY, plain, where


def test_a_box_is_drawn_at_its_place_in_its_colour() -> None:
    # 1000 px need no scaling; the line is 2 px wide around the coordinates of the box
    picture = draw_boxes(plain(800, 1000), [Box((200, 300, 500, 600), "", kind=1)])
    assert picture.shape == (800, 1000, 3)
    rows, columns = np.nonzero(where(picture, palette(1)))
    assert (columns.min(), columns.max()) == pytest.approx((200, 500), abs=1)
    assert (rows.min(), rows.max()) == pytest.approx((300, 600), abs=1)
    assert tuple(picture[450, 350]) == GREY


@pytest.mark.parametrize(
    ("height", "width"), [(48, 48), (3, 900), (900, 3), (1, 1), (480, 640), (3000, 4000)]
)
def test_boxes_are_scaled_with_their_image(height: int, width: int) -> None:
    half = Box((0, 0, width / 2, height / 2), "", kind=0)
    picture = draw_boxes(plain(height, width), [half])
    longest = max(picture.shape[:2])
    assert min(picture.shape[:2]) >= NARROWEST_PX
    assert SMALLEST_PX <= longest <= LARGEST_PX
    scale = longest / max(height, width)
    rows, columns = np.nonzero(where(picture, palette(0)))
    assert columns.max() == pytest.approx(width * scale / 2, abs=4)
    assert rows.max() == pytest.approx(height * scale / 2, abs=4)


@pytest.mark.parametrize(("left", "top"), [(0, 0), (900, 0), (0, 560), (900, 560), (450, 300)])
def test_labels_at_the_edge_are_complete(left: int, top: int) -> None:
    box = Box((left, top, left + 100, top + 40), "surprise 0.98", kind=3)
    tags = []
    for label in (box.label, ""):
        one = Box(box.box_xyxy, label, kind=3)
        tags.append(where(draw_boxes(plain(600, 1000), [one]), GREY))
    changed = tags[0] != tags[1]
    rows, columns = np.nonzero(changed)
    width, height = columns.max() - columns.min(), rows.max() - rows.min()
    expected_width = text_width(box.label, 23)
    assert width >= expected_width
    assert height >= 23

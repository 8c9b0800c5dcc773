"""Captions below pictures, and PNG files of them."""

import cv2
import numpy as np

from runtime.draw import add_caption, encode_picture
from runtime.draw.canvas import NARROWEST_PX, PAPER
from tests.runtime.support.drawings import plain, where


def test_a_caption_is_added_below_an_unchanged_picture() -> None:
    source = plain(300, 600)
    picture = add_caption(source, "12 faces " * 30)
    assert np.array_equal(picture[:300], source)
    band = picture[300:]
    assert tuple(band[0, 0]) == PAPER
    assert not where(band, PAPER).all()
    assert where(band, PAPER)[:, -2:].all()  # text ends before the edge
    assert np.array_equal(add_caption(source, ""), source)


def test_a_narrow_picture_is_padded_for_its_caption() -> None:
    assert add_caption(plain(300, 20), "neutral").shape[1] == NARROWEST_PX


def test_a_png_file_keeps_red_and_blue_in_place() -> None:
    red = plain(600, 600, (200, 10, 30))
    stored = cv2.imdecode(np.frombuffer(encode_picture(red), np.uint8), cv2.IMREAD_COLOR)
    assert stored is not None
    assert tuple(stored[0, 0]) == (30, 10, 200)  # BGR

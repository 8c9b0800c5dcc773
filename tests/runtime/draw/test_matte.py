"""Cut-outs over a chequerboard."""

import numpy as np

from runtime.draw import draw_matte
from runtime.draw.matte import chequerboard
from tests.runtime.support.drawings import plain


def test_transparent_pixels_show_the_chequerboard() -> None:
    image = plain(600, 800, (200, 10, 30))
    alpha = np.zeros((600, 800), np.float32)
    alpha[:, 400:] = 1
    picture = draw_matte(image, image, alpha)
    gap = picture.shape[1] - 1600
    right = picture[:, 800 + gap :]
    assert (picture[:, :800] == image).all()
    assert (right[:, :400] == chequerboard(600, 800)[:, :400]).all()
    assert (right[:, 400:] == image[:, 400:]).all()
    assert set(np.unique(chequerboard(600, 800))) == {204, 255}


def test_half_transparent_pixels_are_blended() -> None:
    image = plain(600, 600, (0, 0, 0))
    alpha = np.full((600, 600), 0.5, np.float32)
    mixed = draw_matte(image, image, alpha)[:, -600:]
    # 8 bits round a half to 128 of 255
    expected = chequerboard(600, 600) * (127 / 255)
    assert np.abs(mixed - expected).max() <= 0.5

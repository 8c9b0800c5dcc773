"""Two images side by side."""

from runtime.draw import draw_pair
from tests.runtime.support.drawings import plain


def test_a_pair_is_drawn_at_one_height() -> None:
    picture = draw_pair(plain(50, 50, (255, 0, 0)), plain(1000, 2000, (0, 255, 0)))
    assert picture.shape[0] == 400
    assert tuple(picture[200, 10]) == (255, 0, 0)
    assert tuple(picture[200, -10]) == (0, 255, 0)

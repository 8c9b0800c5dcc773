"""The frames of a clip on a sheet."""

import numpy as np

from runtime.draw import Frame, draw_sheet
from tests.runtime.support.drawings import plain, where


def test_a_sheet_has_the_frames_in_order() -> None:
    levels = (20, 60, 100, 140, 180)
    frames = [Frame(plain(90, 160, (level,) * 3), f"#{level}") for level in levels]
    picture = draw_sheet(frames, caption="normal 0.91")
    drawn_levels = [level for level in levels if where(picture, (level,) * 3).sum() > 10_000]
    assert drawn_levels == list(levels)
    places = [np.argwhere(where(picture, (level,) * 3)).mean(axis=0) for level in levels]
    rows = [round(place[0] / 150) for place in places]
    assert rows == sorted(rows)
    assert places[0][1] < places[1][1] < places[2][1]

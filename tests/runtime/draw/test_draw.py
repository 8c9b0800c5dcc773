"""Pictures of answers: what is drawn where, at any size, and that text stays within."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.draw import (
    Box,
    Frame,
    Span,
    captioned,
    draw_boxes,
    draw_matte,
    draw_pair,
    draw_sheet,
    draw_wave,
    encode_picture,
    envelope_of,
)
from runtime.draw.canvas import LARGEST_PX, NARROWEST_PX, PAPER, SMALLEST_PX, palette
from runtime.draw.matte import chequerboard
from runtime.draw.text import fitted, lines_of, text_width
from runtime.draw.waves import COLUMNS

GREY = (100, 100, 100)


def plain(height: int, width: int, colour: tuple[int, int, int] = GREY) -> NDArray[np.uint8]:
    return np.full((height, width, 3), colour, np.uint8)


def where(picture: NDArray[np.uint8], colour: tuple[int, int, int]) -> NDArray[np.bool_]:
    return np.asarray((picture == colour).all(axis=2))


def test_a_box_is_drawn_where_it_is_in_its_colour() -> None:
    # 1000 px need no scaling; a line of 2 px around the box's own coordinates
    picture = draw_boxes(plain(800, 1000), [Box((200, 300, 500, 600), "", kind=1)])
    assert picture.shape == (800, 1000, 3)
    rows, columns = np.nonzero(where(picture, palette(1)))
    assert (columns.min(), columns.max()) == pytest.approx((200, 500), abs=1)
    assert (rows.min(), rows.max()) == pytest.approx((300, 600), abs=1)
    assert tuple(picture[450, 350]) == GREY


@pytest.mark.parametrize(
    ("height", "width"), [(48, 48), (3, 900), (900, 3), (1, 1), (480, 640), (3000, 4000)]
)
def test_boxes_of_any_picture_are_scaled_with_it(height: int, width: int) -> None:
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
def test_labels_are_whole_wherever_the_box_is(left: int, top: int) -> None:
    box = Box((left, top, left + 100, top + 40), "surprise 0.98", kind=3)
    tags = []
    for label in (box.label, ""):
        one = Box(box.box_xyxy, label, kind=3)
        tags.append(where(draw_boxes(plain(600, 1000), [one]), GREY))
    changed = tags[0] != tags[1]
    rows, columns = np.nonzero(changed)
    width, height = columns.max() - columns.min(), rows.max() - rows.min()
    # in the middle of the picture nothing is in the way
    expected_width = text_width(box.label, 23)
    assert width >= expected_width
    assert height >= 23


def test_text_is_made_smaller_then_cut() -> None:
    text, size = fitted("surprise 0.98", 30, 1000)
    assert (text, size) == ("surprise 0.98", 30)
    text, size = fitted("surprise 0.98", 30, 110)
    assert text == "surprise 0.98"
    assert size < 30
    text, size = fitted("surprise 0.98" * 9, 30, 110)
    assert size == 12
    assert text.endswith("…")
    assert text_width(text, size) <= 110
    assert fitted("anything", 30, 2) == ("", 12)


def test_lines_keep_within_their_width() -> None:
    words = "a few words and one_that_is_longer_than_any_line_can_be_in_this_picture then more"
    lines = list(lines_of(words, 20, 200))
    assert len(lines) == 3
    assert all(text_width(line, 20) <= 200 for line in lines)
    assert " ".join(lines).startswith("a few words and")
    assert " ".join(lines).endswith("then more")


def test_text_of_any_script_and_with_control_characters_is_one_line() -> None:
    text, _ = fitted("Überraschung\n\x1b[31m 驚き", 20, 1000)
    assert text == "Überraschung [31m 驚き"


def test_a_caption_is_below_and_changes_nothing_above() -> None:
    source = plain(300, 600)
    picture = captioned(source, "12 faces " * 30)
    assert np.array_equal(picture[:300], source)
    band = picture[300:]
    assert tuple(band[0, 0]) == PAPER
    assert not where(band, PAPER).all()
    assert where(band, PAPER)[:, -2:].all()  # text ends before the edge
    assert np.array_equal(captioned(source, ""), source)


def test_a_narrow_picture_is_widened_for_its_caption() -> None:
    assert captioned(plain(300, 20), "neutral").shape[1] == NARROWEST_PX


def test_colours_of_a_file_are_not_swapped() -> None:
    red = plain(600, 600, (200, 10, 30))
    stored = cv2.imdecode(np.frombuffer(encode_picture(red), np.uint8), cv2.IMREAD_COLOR)
    assert stored is not None
    assert tuple(stored[0, 0]) == (30, 10, 200)  # OpenCV's own order


def test_a_matte_shows_the_chequerboard_where_nothing_is_left() -> None:
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


def test_half_transparent_pixels_are_mixed() -> None:
    image = plain(600, 600, (0, 0, 0))
    alpha = np.full((600, 600), 0.5, np.float32)
    mixed = draw_matte(image, image, alpha)[:, -600:]
    # 128 of 255 is what 8 bits have for a half
    expected = chequerboard(600, 600) * (127 / 255)
    assert np.abs(mixed - expected).max() <= 0.5


def test_a_pair_is_side_by_side_at_one_height() -> None:
    picture = draw_pair(plain(50, 50, (255, 0, 0)), plain(1000, 2000, (0, 255, 0)))
    assert picture.shape[0] == 400
    assert tuple(picture[200, 10]) == (255, 0, 0)
    assert tuple(picture[200, -10]) == (0, 255, 0)


def test_a_sheet_holds_the_frames_in_order() -> None:
    levels = (20, 60, 100, 140, 180)
    frames = [Frame(plain(90, 160, (level,) * 3), f"#{level}") for level in levels]
    picture = draw_sheet(frames, caption="normal 0.91")
    found = [level for level in levels if where(picture, (level,) * 3).sum() > 10_000]
    assert found == list(levels)
    places = [np.argwhere(where(picture, (level,) * 3)).mean(axis=0) for level in levels]
    rows = [round(place[0] / 150) for place in places]
    assert rows == sorted(rows)
    assert places[0][1] < places[1][1] < places[2][1]


def test_an_envelope_is_the_extremes_of_each_column_whatever_the_blocks() -> None:
    samples = np.random.default_rng(0).normal(0, 0.2, 7 * COLUMNS).astype(np.float32)
    columns = samples.reshape(COLUMNS, 7)
    wave = envelope_of([samples[:500], samples[500:]], samples=samples.size, sampling_rate=700)
    assert np.array_equal(wave.lowest, columns.min(axis=1).clip(max=0))
    assert np.array_equal(wave.highest, columns.max(axis=1).clip(min=0))
    assert wave.seconds == 12.0


def test_a_waveform_is_coloured_by_what_was_said_of_each_part() -> None:
    wave = envelope_of([np.ones(8000, np.float32)], samples=8000, sampling_rate=1000)
    spans = [Span(0, 5, "", 0), Span(4, 8, "", 1)]  # they overlap: the first lasts for 4 s
    picture = draw_wave(wave, spans)
    middle = (picture.shape[1] - COLUMNS) // 2
    row = picture[100, middle : middle + COLUMNS]
    assert (row[: COLUMNS // 2] == palette(0)).all()
    assert (row[COLUMNS // 2 :] == palette(1)).all()


def test_a_label_that_finds_no_room_before_the_next_part_is_left_out() -> None:
    wave = envelope_of([np.ones(8000, np.float32)], samples=8000, sampling_rate=1000)
    picture = draw_wave(wave, [Span(0, 5, "surprise 0.98", 0), Span(0.1, 8, "", 1)])
    ribbon = picture[270:300, 24 : 24 + 14]  # of a tenth of a second; its last column is a gap
    assert (ribbon == palette(0)).all()


@pytest.mark.parametrize("seconds", [0.1, 0.9, 59.0, 61.0, 3600.0, 20_000.0])
def test_a_waveform_of_any_length_and_of_silence_has_an_axis(seconds: float) -> None:
    count = round(seconds * 10)
    wave = envelope_of([np.zeros(count, np.float32)], samples=count, sampling_rate=10)
    spans = [Span(i * seconds / 300, (i + 1) * seconds / 300, "neutral", i) for i in range(300)]
    picture = draw_wave(wave, spans, caption="neutral")
    assert picture.shape[1] == COLUMNS + 48

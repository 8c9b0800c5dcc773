"""Draw the frames of a clip on one sheet, each with its number and time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from runtime.arrays import Image
from runtime.draw.canvas import PAPER, add_caption, resize, text_colour
from runtime.draw.text import LINE, fit, put_text, text_width

_SHEET_PX = 1280  # wide, about
_GAP_PX = 6
_TEXT_PX = 15


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame and the note in its corner."""

    image: Image  # (H, W, 3), RGB
    note: str


def draw_sheet(frames: Sequence[Frame], *, caption: str = "") -> Image:
    """Draw frames row by row, in their order.

    Args:
        frames: at least one, all of one size.
        caption: text below the sheet; "" for none.
    """
    columns = math.ceil(math.sqrt(len(frames)))
    height, width = frames[0].image.shape[:2]
    cell_width = (_SHEET_PX - (columns + 1) * _GAP_PX) // columns
    cell_height = max(1, round(height * cell_width / width))
    rows = math.ceil(len(frames) / columns)
    size = (rows * (cell_height + _GAP_PX) + _GAP_PX, columns * (cell_width + _GAP_PX) + _GAP_PX)
    sheet = np.full((*size, 3), PAPER, np.uint8)
    for number, frame in enumerate(frames):
        top = _GAP_PX + number // columns * (cell_height + _GAP_PX)
        left = _GAP_PX + number % columns * (cell_width + _GAP_PX)
        cell = np.ascontiguousarray(resize(frame.image, cell_height, cell_width))
        _draw_note(cell, frame.note)
        sheet[top : top + cell_height, left : left + cell_width] = cell
    return add_caption(sheet, caption)


def _draw_note(cell: Image, note: str) -> None:
    text, size = fit(note, _TEXT_PX, cell.shape[1] - 8)
    height, width = min(round(LINE * size), cell.shape[0]), text_width(text, size) + 8
    if not text or height < size:
        return
    background = (24, 26, 30)
    cell[:height, :width] = background
    put_text(cell, text, left=4, top=0, size=size, colour=text_colour(background))

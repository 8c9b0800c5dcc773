"""The frames of a clip on one sheet, each with its number and time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.draw.canvas import PAPER, captioned, on, resized
from runtime.draw.text import LINE, Picture, fitted, put_text, text_width

_SHEET_PX = 1280  # wide, about
_GAP_PX = 6
_TEXT_PX = 15


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture and what stands in its corner."""

    image: NDArray[np.uint8]  # (H, W, 3), RGB
    note: str


def draw_sheet(frames: Sequence[Frame], *, caption: str = "") -> Picture:
    """Frames row by row, in their order.

    Args:
        frames: at least one, all of one size.
        caption: below them; "" for none.
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
        cell = np.ascontiguousarray(resized(frame.image, cell_height, cell_width))
        _note(cell, frame.note)
        sheet[top : top + cell_height, left : left + cell_width] = cell
    return captioned(sheet, caption)


def _note(cell: Picture, note: str) -> None:
    text, size = fitted(note, _TEXT_PX, cell.shape[1] - 8)
    height, width = min(round(LINE * size), cell.shape[0]), text_width(text, size) + 8
    if not text or height < size:
        return
    background = (24, 26, 30)
    cell[:height, :width] = background
    put_text(cell, text, left=4, top=0, size=size, colour=on(background))

"""Boxes with a label each, over the picture in which they were found."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.draw.canvas import (
    LARGEST_PX,
    captioned,
    fitted_scale,
    on,
    palette,
    resized,
    text_size,
    widened,
)
from runtime.draw.text import LINE, Colour, Picture, fitted, put_text, text_width

_BOX_PX, _LABEL_PX = 66, 104  # wide: a box, and the label that it may have at least
_CROWD = 6  # boxes, beyond which labels keep to their own


@dataclass(frozen=True, slots=True)
class Box:
    """What was found, and where."""

    box_xyxy: tuple[float, float, float, float]  # left, top, right, bottom in px of the image
    label: str
    kind: int = 0  # of which class: its colour
    points: NDArray[np.float32] | None = None  # (P, 2) x, y in px of the image


def draw_boxes(image: NDArray[np.uint8], boxes: Sequence[Box], *, caption: str = "") -> Picture:
    """Draw boxes, the first of them uppermost.

    Args:
        image: (H, W, 3) uint8, RGB.
        boxes: in px of the image, as they were found.
        caption: below the picture; "" for none.
    """
    height, width = image.shape[:2]
    scale = _scale(height, width, boxes)
    sides = (max(1, round(height * scale)), max(1, round(width * scale)))
    canvas = np.ascontiguousarray(widened(resized(image, *sides)))
    thickness = max(2, round(max(sides) / 400))
    for box in reversed(boxes):
        _draw_frame(canvas, box, scale, thickness)
    for box in reversed(boxes):  # labels over all frames
        own = max(_LABEL_PX, 1.4 * scale * (box.box_xyxy[2] - box.box_xyxy[0]))
        room = own if len(boxes) > _CROWD else math.inf
        _draw_label(canvas, box, scale, thickness, room)
    return captioned(canvas, caption)


def _scale(height: int, width: int, boxes: Sequence[Box]) -> float:
    """That of any picture; larger where half of the boxes would be too small for their labels."""
    scale = fitted_scale(height, width)
    widths = [box.box_xyxy[2] - box.box_xyxy[0] for box in boxes]
    wanted = _BOX_PX / max(1.0, float(np.median(widths))) if widths else scale
    return max(scale, min(wanted, LARGEST_PX / max(height, width)))


def _draw_frame(canvas: Picture, box: Box, scale: float, thickness: int) -> None:
    left, top, right, bottom = (round(side * scale) for side in box.box_xyxy)
    height, width = canvas.shape[:2]
    # the whole line lies within, also where the box ends at the edge
    inset = thickness // 2
    first = (max(left, inset), max(top, inset))
    last = (min(right, width - 1 - inset), min(bottom, height - 1 - inset))
    cv2.rectangle(canvas, first, last, (255, 255, 255), thickness + 2)
    cv2.rectangle(canvas, first, last, palette(box.kind), thickness)
    for x, y in () if box.points is None else (box.points * scale).round().astype(int).tolist():
        cv2.circle(canvas, (x, y), thickness + 1, palette(box.kind), -1, cv2.LINE_AA)


def _draw_label(canvas: Picture, box: Box, scale: float, thickness: int, room: float) -> None:
    """Above the box where there is room, else at its top; moved to where it is whole."""
    height, width = canvas.shape[:2]
    margin = 2 * thickness
    text, size = fitted(box.label, text_size(canvas), int(min(room, width)) - 2 * margin)
    if not text:
        return
    tag_height, tag_width = round(LINE * size), text_width(text, size) + 2 * margin
    left, top = round(box.box_xyxy[0] * scale), round(box.box_xyxy[1] * scale)
    above = top - tag_height
    left = int(np.clip(left, 0, width - tag_width))
    top = int(np.clip(above if above >= 0 else top, 0, height - tag_height))
    colour: Colour = palette(box.kind)
    canvas[top : top + tag_height, left : left + tag_width] = colour
    put_text(canvas, text, left=left + margin, top=top, size=size, colour=on(colour))

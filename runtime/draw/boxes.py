"""Draw boxes with their labels over the image in which a detector found them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.arrays import Image
from runtime.draw.canvas import (
    LARGEST_PX,
    add_caption,
    fitted_scale,
    pad,
    palette,
    resize,
    text_colour,
    text_size,
)
from runtime.draw.text import LINE, Colour, fit, put_text, text_width

_BOX_PX, _LABEL_PX = 66, 104  # least widths: of the median box, and of a label in a crowd
_CROWD = 6  # with more boxes, a label is not much wider than its box


@dataclass(frozen=True, slots=True)
class Box:
    """A box with its label and colour."""

    box_xyxy: tuple[float, float, float, float]  # left, top, right, bottom in px of the image
    label: str
    kind: int = 0  # index of the class, which sets the colour
    points: NDArray[np.float32] | None = None  # (P, 2) x, y in px of the image


def draw_boxes(image: Image, boxes: Sequence[Box], *, caption: str = "") -> Image:
    """Draw boxes over an image, the first on top.

    Args:
        image: (H, W, 3) uint8, RGB.
        boxes: in px of the image.
        caption: text below the picture; "" for none.
    """
    height, width = image.shape[:2]
    scale = _scale(height, width, boxes)
    sides = (max(1, round(height * scale)), max(1, round(width * scale)))
    canvas = np.ascontiguousarray(pad(resize(image, *sides)))
    thickness = max(2, round(max(sides) / 400))
    for box in reversed(boxes):
        _draw_frame(canvas, box, scale, thickness)
    for box in reversed(boxes):  # after all frames, so that no frame crosses a label
        own_width = max(_LABEL_PX, 1.4 * scale * (box.box_xyxy[2] - box.box_xyxy[0]))
        most = own_width if len(boxes) > _CROWD else math.inf
        _draw_label(canvas, box, scale, thickness, most)
    return add_caption(canvas, caption)


def _scale(height: int, width: int, boxes: Sequence[Box]) -> float:
    """Return the scale of the picture; larger if half of the boxes were too small for labels."""
    scale = fitted_scale(height, width)
    widths = [box.box_xyxy[2] - box.box_xyxy[0] for box in boxes]
    for_labels = _BOX_PX / max(1.0, float(np.median(widths))) if widths else scale
    return max(scale, min(for_labels, LARGEST_PX / max(height, width)))


def _draw_frame(canvas: Image, box: Box, scale: float, thickness: int) -> None:
    left, top, right, bottom = (round(side * scale) for side in box.box_xyxy)
    height, width = canvas.shape[:2]
    # a line along the edge of the picture would be drawn only half
    inset = thickness // 2
    first = (max(left, inset), max(top, inset))
    last = (min(right, width - 1 - inset), min(bottom, height - 1 - inset))
    cv2.rectangle(canvas, first, last, (255, 255, 255), thickness + 2)
    cv2.rectangle(canvas, first, last, palette(box.kind), thickness)
    for x, y in () if box.points is None else (box.points * scale).round().astype(int).tolist():
        cv2.circle(canvas, (x, y), thickness + 1, palette(box.kind), -1, cv2.LINE_AA)


def _draw_label(canvas: Image, box: Box, scale: float, thickness: int, most: float) -> None:
    """Draw a label above its box if there is space, else at its top, inside the picture."""
    height, width = canvas.shape[:2]
    margin = 2 * thickness
    text, size = fit(box.label, text_size(canvas), int(min(most, width)) - 2 * margin)
    if not text:
        return
    tag_height, tag_width = round(LINE * size), text_width(text, size) + 2 * margin
    left, top = round(box.box_xyxy[0] * scale), round(box.box_xyxy[1] * scale)
    above = top - tag_height
    left = int(np.clip(left, 0, width - tag_width))
    top = int(np.clip(above if above >= 0 else top, 0, height - tag_height))
    colour: Colour = palette(box.kind)
    canvas[top : top + tag_height, left : left + tag_width] = colour
    put_text(canvas, text, left=left + margin, top=top, size=size, colour=text_colour(colour))

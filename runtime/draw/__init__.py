"""Draw answers as pictures for people: RGB, of moderate size, with OpenCV alone.

This package knows no models and no tasks: it draws arrays, boxes and short texts. Tiny sources are
enlarged first and huge ones shrunk, so that lines and text suit any source. Text never leaves the
picture: it is made smaller, truncated or broken into lines.
"""

from runtime.draw.boxes import Box, draw_boxes
from runtime.draw.canvas import add_caption, encode_picture
from runtime.draw.matte import draw_matte
from runtime.draw.sheet import Frame, draw_sheet
from runtime.draw.side_by_side import draw_pair
from runtime.draw.waves import Span, Wave, draw_wave, envelope_of

__all__ = [
    "Box",
    "Frame",
    "Span",
    "Wave",
    "add_caption",
    "draw_boxes",
    "draw_matte",
    "draw_pair",
    "draw_sheet",
    "draw_wave",
    "encode_picture",
    "envelope_of",
]

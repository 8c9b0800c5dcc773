"""Pictures of answers, to be looked at: drawn with OpenCV alone, RGB, of moderate size.

They know nothing of models and tasks: what is drawn comes as arrays, boxes and short texts. What is
tiny is made larger first and what is huge smaller, so that lines and text suit any source; text
keeps within the picture, made smaller, cut or broken into lines.
"""

from runtime.draw.boxes import Box, draw_boxes
from runtime.draw.canvas import captioned, encode_picture
from runtime.draw.matte import draw_matte
from runtime.draw.sheet import Frame, draw_sheet
from runtime.draw.side_by_side import draw_pair
from runtime.draw.text import Picture
from runtime.draw.waves import Span, Wave, draw_wave, envelope_of

__all__ = [
    "Box",
    "Frame",
    "Picture",
    "Span",
    "Wave",
    "captioned",
    "draw_boxes",
    "draw_matte",
    "draw_pair",
    "draw_sheet",
    "draw_wave",
    "encode_picture",
    "envelope_of",
]

"""The geometry of the steps, by which images are preprocessed and boxes mapped back."""

from collections.abc import Sequence
from dataclasses import dataclass

from runtime.artifact.steps import (
    CenterCrop,
    Grayscale,
    ImageStep,
    Letterbox,
    Resize,
    Step,
    image_steps,
)
from runtime.errors import InputError

# The largest aspect ratio where a step fixes only the shorter side: an image of 5000 x 1 px would
# become 1 280 000 x 256 px, a gigabyte.
_MAX_ASPECT = 50


@dataclass(frozen=True, slots=True)
class Layout:
    """The result of one step: a scaled image on a canvas, which may cut the image off."""

    height: int  # px, of the scaled image
    width: int
    top: int  # canvas px of the image's first row; negative if rows above the canvas are cut off
    left: int
    canvas_height: int  # px
    canvas_width: int


@dataclass(frozen=True, slots=True)
class Placement:
    """The position of a source image in the graph's input: graph px = source px * scale + offset.

    Coordinates are those of pixel edges: the first pixel of a row reaches from 0 to 1, the last to
    the width.
    """

    scale_x: float  # graph px per source px
    scale_y: float
    left: float  # graph px
    top: float


def lay_out(height: int, width: int, step: ImageStep) -> Layout:
    """Return the layout that a step gives an image of (height, width) px.

    Raises:
        InputError: the step does not accept an image of this size.
    """
    match step:
        case Resize():
            scaled = _target_size(height, width, step)
            return Layout(*scaled, 0, 0, *scaled)
        case Letterbox():
            return _fit(height, width, step)
        case CenterCrop():
            top, left = _crop_offsets(height, width, step)
            return Layout(height, width, -top, -left, step.height, step.width)
        case Grayscale():
            return Layout(height, width, 0, 0, height, width)


def place(height: int, width: int, steps: Sequence[Step]) -> Placement:
    """Return the position of an image of (height, width) px after all steps.

    Scales are computed from the rounded sizes of the resized image. With the scale before rounding,
    boxes would be off by up to half a graph px at the far edge.

    Raises:
        InputError: a step does not accept an image of this size.

    Source: for a letterbox, ultralytics' scale_boxes of 8.4; earlier versions do not round.
    """
    scale_x, scale_y, left, top = 1.0, 1.0, 0.0, 0.0
    for step in image_steps(steps):
        layout = lay_out(height, width, step)
        x, y = layout.width / width, layout.height / height
        scale_x, left = scale_x * x, left * x + layout.left
        scale_y, top = scale_y * y, top * y + layout.top
        height, width = layout.canvas_height, layout.canvas_width
    return Placement(scale_x, scale_y, left, top)


def _target_size(height: int, width: int, step: Resize) -> tuple[int, int]:
    if step.shortest_side is None:
        assert step.height is not None  # the manifest refuses the third form
        assert step.width is not None
        return step.height, step.width
    short, long = sorted((height, width))
    if long > _MAX_ASPECT * short:
        allowed = f"sides of at most {_MAX_ASPECT} : 1 where the shorter one decides the size"
        raise InputError(f"image of {width} x {height} px is too narrow; allowed: {allowed}")
    # truncated as in torchvision: rounding would shift the crop by half a pixel
    scaled = int(step.shortest_side * long / short)
    return (step.shortest_side, scaled) if height <= width else (scaled, step.shortest_side)


def _fit(height: int, width: int, step: Letterbox) -> Layout:
    if height < 1 or width < 1:
        raise InputError(f"image of {width} x {height} px; allowed: sides of at least 1 px")
    scale = min(step.height / height, step.width / width)
    if not step.enlarge:
        scale = min(scale, 1.0)
    scaled_height, scaled_width = max(1, round(height * scale)), max(1, round(width * scale))
    top = left = 0
    if step.align == "center":  # an odd remainder leaves one px more below and to the right
        top, left = (step.height - scaled_height) // 2, (step.width - scaled_width) // 2
    return Layout(scaled_height, scaled_width, top, left, step.height, step.width)


def _crop_offsets(height: int, width: int, step: CenterCrop) -> tuple[int, int]:
    top, left = (height - step.height) / 2, (width - step.width) / 2
    if top < 0 or left < 0:
        raise InputError(
            f"image of {width} x {height} px is smaller than the crop of "
            f"{step.width} x {step.height} px"
        )
    return round(top), round(left)

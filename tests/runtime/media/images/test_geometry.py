"""Layouts and placements of the steps, compared with where a rectangle really lands."""

import cv2
import numpy as np
import pytest

from runtime.artifact.steps import CenterCrop, Grayscale, ImageStep, Letterbox, Resize, Step
from runtime.errors import InputError
from runtime.media.images.geometry import Layout, Placement, lay_out, place
from runtime.media.images.preprocess import preprocess

SQUARE = Letterbox(height=640, width=640, interpolation="linear")


@pytest.mark.parametrize(
    ("source", "step", "layout"),
    [
        ((480, 640), SQUARE, Layout(480, 640, 80, 0, 640, 640)),
        ((720, 1280), SQUARE, Layout(360, 640, 140, 0, 640, 640)),
        ((1000, 667), SQUARE, Layout(640, 427, 0, 106, 640, 640)),  # 426.88; 213 px are left
        ((100, 10_000), SQUARE, Layout(6, 640, 317, 0, 640, 640)),  # 6.4
        ((1, 10_000), SQUARE, Layout(1, 640, 319, 0, 640, 640)),  # 0.064
        (
            (30, 20),
            Letterbox(64, 64, "linear", enlarge=False),
            Layout(30, 20, 17, 22, 64, 64),
        ),
        ((30, 20), Letterbox(64, 64, "linear", align="top_left"), Layout(64, 43, 0, 0, 64, 64)),
        ((30, 20), Resize("linear", height=7, width=9), Layout(7, 9, 0, 0, 7, 9)),
        ((30, 20), Resize("linear", shortest_side=10), Layout(15, 10, 0, 0, 15, 10)),
        ((31, 20), CenterCrop(height=10, width=8), Layout(31, 20, -10, -6, 10, 8)),
        ((30, 20), Grayscale(), Layout(30, 20, 0, 0, 30, 20)),
    ],
)
def test_layout_by_hand(source: tuple[int, int], step: ImageStep, layout: Layout) -> None:
    assert lay_out(*source, step) == layout


def test_no_steps_move_nothing() -> None:
    assert place(30, 20, []) == Placement(1.0, 1.0, 0.0, 0.0)


def test_placements_of_successive_steps_combine() -> None:
    # 100 x 200 px: halved, cut to 40 x 60 px (5 and 20 before), then both sides three times as long
    steps: list[Step] = [
        Resize("linear", shortest_side=50),
        CenterCrop(height=40, width=60),
        Resize("linear", height=120, width=180),
    ]
    assert place(100, 200, steps) == Placement(1.5, 1.5, -60.0, -15.0)


def test_axes_may_have_different_scales() -> None:
    steps = (Resize("linear", height=20, width=100),)
    assert place(10, 200, steps) == Placement(0.5, 2.0, 0.0, 0.0)


@pytest.mark.parametrize(
    "steps",
    [
        (SQUARE,),
        (Letterbox(320, 416, "area", align="top_left"),),
        (Resize("linear", height=320, width=320),),
        (Resize("linear", shortest_side=300), CenterCrop(280, 280), Grayscale()),
    ],
)
@pytest.mark.parametrize("source", [(667, 1000), (999, 601), (480, 481), (90, 70)])
def test_a_rectangle_maps_back_to_where_it_was(
    source: tuple[int, int], steps: tuple[Step, ...]
) -> None:
    height, width = source
    image = np.zeros((height, width, 3), np.uint8)
    x1, y1, x2, y2 = width * 3 // 10, height * 3 // 10, width * 7 // 10, height * 6 // 10
    image[y1:y2, x1:x2] = 255
    prepared = preprocess(image, steps)[:, :, 0]
    left, top, wide, high = cv2.boundingRect((prepared > 127).astype(np.uint8))
    placement = place(height, width, steps)
    mapped_back = (
        (left - placement.left) / placement.scale_x,
        (top - placement.top) / placement.scale_y,
        (left + wide - placement.left) / placement.scale_x,
        (top + high - placement.top) / placement.scale_y,
    )
    # the edge is known to half a graph px, and to half a source px where that is larger
    tolerance_px = 0.5 * max(1, 1 / placement.scale_x, 1 / placement.scale_y) + 1e-6
    assert np.abs(np.subtract(mapped_back, (x1, y1, x2, y2))).max() <= tolerance_px


def test_an_image_that_preprocessing_refuses_has_no_placement() -> None:
    with pytest.raises(InputError, match="is smaller than the crop of 40 x 40 px"):
        place(30, 30, [CenterCrop(40, 40)])

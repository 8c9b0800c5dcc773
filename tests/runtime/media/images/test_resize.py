"""Resizing, compared with results worked out by hand, Pillow and OpenCV."""

import tracemalloc
from typing import get_args

import cv2
import numpy as np
import pytest
from PIL import Image

from runtime.artifact.steps import Interpolation
from runtime.errors import InputError
from runtime.media.images import resize as resizing
from runtime.media.images.resize import resize
from tests.runtime.support.pictures import grey, noise, pillow_bilinear, pillow_resized

INTERPOLATIONS: tuple[Interpolation, ...] = get_args(Interpolation)
PIL_FILTERS: dict[Interpolation, Image.Resampling] = {
    "pil_bilinear": Image.Resampling.BILINEAR,
    "pil_bicubic": Image.Resampling.BICUBIC,
}
SIZES = [  # of an image and of the result, (height, width)
    ((48, 64), (24, 32)),
    ((48, 64), (23, 31)),
    ((48, 64), (47, 65)),
    ((48, 64), (96, 128)),
    ((48, 64), (101, 131)),
    ((48, 64), (48, 17)),
    ((48, 64), (17, 64)),
    ((48, 64), (200, 5)),
    ((48, 64), (1, 1)),
    ((1, 1), (7, 5)),
    ((3, 500), (64, 64)),
    ((500, 3), (64, 64)),
    ((731, 517), (224, 224)),
    ((300, 400), (256, 341)),
    ((20000, 2), (256, 256)),
    ((1, 5000), (224, 224)),
]


@pytest.mark.parametrize(
    ("interpolation", "halved"),
    [
        ("nearest", [0, 80]),  # the left one of each pair
        ("linear", [20, 120]),  # the middle of each pair
        ("area", [20, 120]),
        # triangle of width 4: 3/7 0 + 3/7 40 + 1/7 80, and 1/7 40 + 3/7 80 + 3/7 160
        ("linear_antialias", [29, 109]),
        ("pil_bilinear", [29, 109]),
        # 111/242, 111/242, 29/242 and -9/242 (a = -0.5): 18.3 + 9.6 - 6.0; edges not repeated
        ("pil_bicubic", [22, 115]),
        # 19/32 and -3/32 (a = -0.75), edges repeated: 23.75 - 7.5 and 142.5 - 3.75 - 15
        ("cubic", [16, 124]),
        # 0.620, -0.166, 0.060, -0.013: 24.8 - 13.3 + 9.6 - 2.0 and 49.6 - 6.7 + 80.2
        ("lanczos4", [19, 123]),
    ],
)
def test_resize_by_hand(interpolation: Interpolation, halved: list[int]) -> None:
    image = grey([[0, 40, 80, 160]])
    resized = resize(image, height=1, width=2, interpolation=interpolation)
    assert resized.tolist() == [[[level] for level in halved]]


def test_antialias_doubles_by_hand() -> None:
    # enlarging is plain linear: weights 3/4 and 1/4, the edge alone outside of the centres
    resized = resize(grey([[0, 100]]), height=1, width=4, interpolation="linear_antialias")
    assert resized[0, :, 0].tolist() == [0, 25, 75, 100]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("source", "target"), SIZES)
def test_antialias_is_close_to_pillow(
    source: tuple[int, int], target: tuple[int, int], channels: int
) -> None:
    image = noise(*source, channels)
    resized = resize(image, height=target[0], width=target[1], interpolation="linear_antialias")
    expected = pillow_bilinear(image, *target)
    assert resized.dtype == np.uint8
    # 1 level: Pillow rounds between its two passes, this does not
    assert np.abs(resized.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("interpolation", PIL_FILTERS)
@pytest.mark.parametrize(
    ("source", "target"),
    [
        *SIZES,
        # rows lost against twice the columns lost: as many, one more, fewer; then one column more
        ((164, 100), (64, 50)),
        ((165, 100), (64, 50)),
        ((163, 100), (64, 50)),
        ((64, 50), (65, 51)),
        ((64, 50), (63, 50)),
        ((64, 50), (63, 51)),
        ((64, 50), (100, 80)),
        ((16384, 60), (8, 40)),  # most weights of BILINEAR are odd numbers of 2 ** -23
    ],
)
def test_pil_filters_equal_pillow(
    interpolation: Interpolation, source: tuple[int, int], target: tuple[int, int], channels: int
) -> None:
    image = noise(*source, channels)
    resized = resize(image, height=target[0], width=target[1], interpolation=interpolation)
    expected = pillow_resized(image, *target, PIL_FILTERS[interpolation])
    assert resized.dtype == np.uint8
    np.testing.assert_array_equal(resized, expected)


@pytest.mark.parametrize("interpolation", PIL_FILTERS)
def test_pil_filters_equal_pillow_for_any_size(interpolation: Interpolation) -> None:
    generator = np.random.default_rng(0)
    for _ in range(100):
        source, target = generator.integers(1, 200, 2), generator.integers(1, 200, 2)
        image = noise(*source.tolist())
        height, width = target.tolist()
        resized = resize(image, height=height, width=width, interpolation=interpolation)
        expected = pillow_resized(image, height, width, PIL_FILTERS[interpolation])
        np.testing.assert_array_equal(resized, expected, err_msg=f"{source} to {target}")


@pytest.mark.parametrize("interpolation", PIL_FILTERS)
@pytest.mark.parametrize("limits", [(1, 1 << 16), (40, 1 << 16), (5000, 30), (1 << 18, 1 << 16)])
@pytest.mark.parametrize(
    ("source", "target"), [((64, 48), (101, 131)), ((731, 517), (224, 224)), ((2000, 2), (256, 25))]
)
def test_pil_filters_are_the_same_however_many_rows_they_take_at_a_time(
    source: tuple[int, int],
    target: tuple[int, int],
    limits: tuple[int, int],
    interpolation: Interpolation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = noise(*source)
    monkeypatch.setattr(resizing, "_MAX_GATHERED", limits[0])
    monkeypatch.setattr(resizing, "_MAX_WEIGHTS", limits[1])
    resized = resize(image, height=target[0], width=target[1], interpolation=interpolation)
    expected = pillow_resized(image, *target, PIL_FILTERS[interpolation])
    np.testing.assert_array_equal(resized, expected)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("limits", [(1, 1 << 16), (40, 1 << 16), (5000, 30), (1 << 18, 1 << 16)])
@pytest.mark.parametrize(
    ("source", "target"),
    [
        ((48, 64), (24, 32)),
        ((64, 48), (101, 131)),
        ((731, 517), (224, 224)),
        ((20000, 2), (256, 256)),
        ((1, 5000), (224, 3)),
    ],
)
def test_antialias_is_the_same_however_many_rows_it_takes_at_a_time(
    source: tuple[int, int],
    target: tuple[int, int],
    limits: tuple[int, int],
    channels: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = noise(*source, channels)
    monkeypatch.setattr(resizing, "_MAX_GATHERED", limits[0])
    monkeypatch.setattr(resizing, "_MAX_WEIGHTS", limits[1])
    resized = resize(image, height=target[0], width=target[1], interpolation="linear_antialias")
    np.testing.assert_array_equal(resized, resized_by_rows(image, *target))


def resized_by_rows(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize an image with a product for each target row, the smaller pass first."""
    if height * image.shape[1] <= image.shape[0] * width:
        resized = weighed_rows(weighed_rows(image, height).transpose(1, 0, 2), width)
        resized = resized.transpose(1, 0, 2)
    else:
        resized = weighed_rows(image.transpose(1, 0, 2), width).transpose(1, 0, 2)
        resized = weighed_rows(resized, height)
    return (resized + np.float32(0.5)).astype(np.uint8)


def weighed_rows(image: np.ndarray, target: int) -> np.ndarray:
    source = len(image)
    scale = source / target
    support = max(scale, 1.0)
    result = np.zeros((target, *image.shape[1:]), np.float32)
    for row in range(target):
        centre = (row + 0.5) * scale
        taps = np.arange(
            max(int(centre - support + 0.5), 0), min(int(centre + support + 0.5), source)
        )
        weights = np.maximum(1 - np.abs(taps + 0.5 - centre) / support, 0)
        scaled = (weights / weights.sum()).astype(np.float32)
        rows = image[taps].reshape(len(taps), -1)
        result[row] = np.einsum("t,tk->k", scaled, rows, dtype=np.float32).reshape(
            result[row].shape
        )
    return result


@pytest.mark.parametrize("interpolation", ["linear_antialias", *PIL_FILTERS])
@pytest.mark.parametrize(
    ("source", "target", "most_mib"),
    [
        ((480, 640, 3), (224, 224), 4),  # of floats: the image is 0.9 MiB
        ((2000, 3000, 3), (224, 224), 24),  # the image turned, and a pass in float
        ((1, 3_000_000, 3), (224, 224), 12),
        ((3_000_000, 1, 1), (224, 1), 4),
        ((3_000_000, 1, 1), (224, 224), 4),
        ((1, 3_000_000, 1), (1, 224), 7),
    ],
)
def test_filters_take_little_memory(
    source: tuple[int, int, int],
    target: tuple[int, int],
    most_mib: int,
    interpolation: Interpolation,
) -> None:
    image = np.zeros(source, np.uint8)
    tracemalloc.start()
    resize(image, height=target[0], width=target[1], interpolation=interpolation)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    more_weights = 2 if interpolation == "pil_bicubic" else 0  # MiB: its filter reaches further
    assert peak / 2**20 <= most_mib + more_weights


@pytest.mark.parametrize("interpolation", ["linear_antialias", *PIL_FILTERS])
@pytest.mark.parametrize("level", [0, 1, 128, 254, 255])
def test_filters_keep_a_flat_image(level: int, interpolation: Interpolation) -> None:
    flat = np.full((97, 61, 3), level, np.uint8)
    for height, width in ((13, 17), (200, 199)):
        resized = resize(flat, height=height, width=width, interpolation=interpolation)
        assert (resized == level).all()


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_resize_keeps_the_channels(interpolation: Interpolation, channels: int) -> None:
    image = noise(30, 20, channels)
    resized = resize(image, height=7, width=45, interpolation=interpolation)
    assert resized.shape == (7, 45, channels)
    assert resized.dtype == np.uint8


@pytest.mark.parametrize(
    ("interpolation", "constant"),
    [
        ("nearest", cv2.INTER_NEAREST),
        ("linear", cv2.INTER_LINEAR),
        ("area", cv2.INTER_AREA),
        ("cubic", cv2.INTER_CUBIC),
        ("lanczos4", cv2.INTER_LANCZOS4),
    ],
)
def test_the_other_interpolations_equal_those_of_opencv(
    interpolation: Interpolation, constant: int
) -> None:
    image = noise(60, 45)
    resized = resize(image, height=17, width=29, interpolation=interpolation)
    np.testing.assert_array_equal(resized, cv2.resize(image, (29, 17), interpolation=constant))


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("shape", [(1, 5000, 3), (20000, 2, 3), (1, 1, 3), (2, 40000, 1)])
def test_extreme_shapes_are_resized(
    interpolation: Interpolation, shape: tuple[int, int, int]
) -> None:
    resized = resize(noise(*shape), height=48, width=64, interpolation=interpolation)
    assert resized.shape == (48, 64, shape[2])


@pytest.mark.parametrize(("height", "width"), [(0, 5), (5, 0), (-1, 5)])
def test_an_empty_result_is_refused(height: int, width: int) -> None:
    message = rf"an image of \(4, 6, 3\) to {height} x {width} .*at least 1 px"
    with pytest.raises(InputError, match=message):
        resize(noise(4, 6), height=height, width=width, interpolation="linear")


@pytest.mark.parametrize("shape", [(0, 5, 3), (5, 0, 3)])
def test_an_empty_image_is_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(InputError, match="at least 1 px"):
        resize(np.zeros(shape, np.uint8), height=3, width=3, interpolation="linear_antialias")


@pytest.mark.parametrize("interpolation", ["linear_antialias", "pil_bilinear", "pil_bicubic"])
def test_a_second_image_of_the_same_size_is_resized_like_the_first(
    interpolation: Interpolation,
) -> None:
    image = np.random.default_rng(0).integers(0, 256, (37, 53, 3), np.uint8)
    first, second = (
        resize(image, height=11, width=13, interpolation=interpolation) for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)

"""Tiles of an image, and scaling of single tiles."""

import cv2
import numpy as np
import pytest

from runtime.cutout.tiles import SIDE_PX, covering, scale_tile, split
from tests.runtime.support.cut_outs import noise


@pytest.mark.parametrize("size", [(1, 1), (512, 512), (513, 1100), (7, 2000)])
def test_tiles_cover_each_pixel_once(size: tuple[int, int]) -> None:
    counts = np.zeros(size, int)
    for tile in split(*size):
        assert max(counts[tile].shape) <= SIDE_PX
        counts[tile] += 1
    assert np.all(counts == 1)


@pytest.mark.parametrize(
    ("source", "target"), [((30, 40), (300, 611)), ((1, 50), (1, 700)), ((64, 64), (64, 64))]
)
def test_a_scaled_tile_equals_opencvs_resize(
    source: tuple[int, int], target: tuple[int, int]
) -> None:
    image = cv2.GaussianBlur(noise(*source, 3), (0, 0), 1).reshape(*source, 3).astype(np.float32)
    expected = cv2.resize(image, target[::-1], interpolation=cv2.INTER_LINEAR)
    expected = expected.reshape(*target, 3)
    tile = (slice(target[0] // 3, target[0]), slice(target[1] // 4, target[1] // 2))
    rows, columns = (
        covering(span, source=before, target=after, margin=0)
        for span, before, after in zip(tile, source, target, strict=True)
    )
    result = scale_tile(
        image[rows, columns], at=(rows, columns), source=source, tile=tile, target=target
    )
    # 1/32 px of a step between neighbours, of at most 255 levels
    assert np.abs(result.reshape(expected[tile].shape) - expected[tile]).max() <= 255 / 32

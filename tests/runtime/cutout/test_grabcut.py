"""GrabCut's mask: any shape, always the same for an image."""

import numpy as np
import pytest

from runtime.cutout.grabcut import grabcut
from tests.runtime.support.cut_outs import noise


@pytest.mark.parametrize(
    "shape", [(1, 1), (2, 2), (1, 3), (3, 1), (2, 3), (5, 1), (1, 5000), (7, 9)]
)
@pytest.mark.parametrize("content", ["flat", "noise"])
def test_grabcut_accepts_any_shape_and_repeats_its_mask(
    shape: tuple[int, int], content: str
) -> None:
    image = noise(*shape, 3) if content == "noise" else np.full((*shape, 3), 77, np.uint8)
    mask = grabcut(image)
    assert set(np.unique(mask)) <= {0.0, 1.0}
    np.testing.assert_array_equal(mask, grabcut(image))

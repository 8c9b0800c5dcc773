"""PNG written in strips, read back by Pillow and by OpenCV."""

import cv2
import numpy as np
import pytest

from runtime.cutout.png import encode_png
from tests.runtime.support.cut_outs import noise
from tests.runtime.support.pictures import decode_by_pillow as decode


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (64, 9), (200, 7)])
@pytest.mark.parametrize("channels", [3, 4])
def test_a_png_written_in_strips_is_read_back(shape: tuple[int, int], channels: int) -> None:
    pixels = noise(*shape, channels)
    strips = (pixels[top : top + 64] for top in range(0, shape[0], 64))
    data = encode_png(strips, height=shape[0], width=shape[1], channels=channels)
    np.testing.assert_array_equal(decode(data), pixels)
    by_opencv = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert by_opencv is not None
    order = [2, 1, 0, 3][:channels]
    np.testing.assert_array_equal(by_opencv[:, :, order], pixels)


def test_a_missing_row_is_an_error() -> None:
    with pytest.raises(ValueError, match="strips of 3 rows; allowed: 4"):
        encode_png([noise(3, 2, 3)], height=4, width=2, channels=3)

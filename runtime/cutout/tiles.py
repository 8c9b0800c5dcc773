"""Large pictures in windows: a part at a time, so that what is in float stays small."""

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE_PX = 512  # of a window: 3 MB as RGB in float32
Span = tuple[slice, slice]  # rows, columns


def windows(height: int, width: int) -> Iterator[Span]:
    """The parts of a height x width picture, none larger than SIDE_PX."""
    for top in range(0, height, SIDE_PX):
        rows = slice(top, min(top + SIDE_PX, height))
        for left in range(0, width, SIDE_PX):
            yield rows, slice(left, min(left + SIDE_PX, width))


def covering(part: slice, *, source: int, target: int, margin: int) -> slice:
    """Which pixels of an axis of `source` px a part of the same axis at `target` px looks at.

    Args:
        part: of the target.
        source: length of the axis that is scaled, in px.
        target: length that it is scaled to.
        margin: source px more on either side.
    """
    scale = source / target
    first = int((part.start + 0.5) * scale - 0.5) - 1 - margin
    last = int((part.stop - 0.5) * scale - 0.5) + 3 + margin
    return slice(max(first, 0), min(last, source))


def scaled_part(
    piece: NDArray[Any], *, at: Span, source: tuple[int, int], part: Span, target: tuple[int, int]
) -> NDArray[Any]:
    """A part of a picture scaled bilinearly, without the rest being scaled.

    Args:
        piece: (h, w) or (h, w, C) of the source, all that `covering` names for the part.
        at: where the piece lies in the source.
        source: height and width of the source, px.
        part: what is wanted, of the target.
        target: height and width of the target, px.

    Returns:
        (rows, columns) or (rows, columns, C) of the part, within 1/32 px of cv2.resize.
    """
    (y, moved_y), (x, moved_x) = (
        (length / wanted, (span.start + 0.5) * length / wanted - 0.5 - origin.start)
        for span, origin, length, wanted in zip(part, at, source, target, strict=True)
    )
    size = (part[1].stop - part[1].start, part[0].stop - part[0].start)
    matrix = np.array([[x, 0, moved_x], [0, y, moved_y]], np.float64)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(piece, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)

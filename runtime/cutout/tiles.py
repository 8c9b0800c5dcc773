"""Process large images tile by tile, so that their float copies stay small."""

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE_PX = 512  # of a tile: 3 MB as RGB in float32
Tile = tuple[slice, slice]  # rows, columns


def split(height: int, width: int) -> Iterator[Tile]:
    """Yield the tiles of a height x width image, row by row, with sides of at most SIDE_PX."""
    for top in range(0, height, SIDE_PX):
        rows = slice(top, min(top + SIDE_PX, height))
        for left in range(0, width, SIDE_PX):
            yield rows, slice(left, min(left + SIDE_PX, width))


def covering(part: slice, *, source: int, target: int, margin: int) -> slice:
    """Return the source pixels that a part of a scaled axis is interpolated from.

    Args:
        part: of the scaled axis.
        source: length of the axis before scaling, px.
        target: length of the axis after scaling, px.
        margin: additional source px on either side.
    """
    scale = source / target
    first = int((part.start + 0.5) * scale - 0.5) - 1 - margin
    last = int((part.stop - 0.5) * scale - 0.5) + 3 + margin
    return slice(max(first, 0), min(last, source))


def scale_tile(
    piece: NDArray[Any], *, at: Tile, source: tuple[int, int], tile: Tile, target: tuple[int, int]
) -> NDArray[Any]:
    """Compute one tile of an image that is scaled bilinearly, without scaling the rest.

    Args:
        piece: (h, w) or (h, w, C): the source pixels that `covering` returns for the tile.
        at: rows and columns of the piece in the source.
        source: height and width of the source, px.
        tile: of the scaled image.
        target: height and width of the scaled image, px.

    Returns:
        (rows, columns) or (rows, columns, C), within 1/32 px of cv2.resize.
    """
    (y, moved_y), (x, moved_x) = (
        (before / after, (span.start + 0.5) * before / after - 0.5 - origin.start)
        for span, origin, before, after in zip(tile, at, source, target, strict=True)
    )
    size = (tile[1].stop - tile[1].start, tile[0].stop - tile[0].start)
    matrix = np.array([[x, 0, moved_x], [0, y, moved_y]], np.float64)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(piece, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)

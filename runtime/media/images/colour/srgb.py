"""Convert pixels to sRGB, relative to the white of their own colour space."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.arrays import Image

Floats = NDArray[np.float64]

# The columns are sRGB's red, green and blue in XYZ, adapted to D50, the white of ICC profiles.
SRGB_TO_XYZ: Floats = np.array(
    [
        [0.4360747, 0.3850649, 0.1430804],
        [0.2225045, 0.7168786, 0.0606169],
        [0.0139322, 0.0971045, 0.7141733],
    ]
)
_STRIP_ROWS = 32  # converted at once: the 16-bit levels of a strip stay in the cache
_FULL = 65535  # of a linear level; 8 bits would lose the dark tones
_SAME_LEVELS = 1  # a colour space whose colours differ from sRGB by less needs no conversion


@dataclass(frozen=True, slots=True)
class ColourSpace:
    """An RGB colour space: a curve per channel, then a matrix."""

    curves: Floats  # (256, 3): linear light in [0, 1] of each 8-bit level of red, green and blue
    to_xyz: Floats  # (3, 3): the columns are red, green and blue in XYZ relative to D50


def srgb_curve(levels: Floats) -> Floats:
    """Return the linear light of sRGB levels, both in [0, 1]."""
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)


def grey_space(curve: Floats) -> ColourSpace:
    """Return the colour space of grey pixels that are repeated as RGB.

    Args:
        curve: (256,) linear light in [0, 1] of each level.
    """
    return ColourSpace(np.repeat(curve[:, np.newaxis], 3, axis=1), SRGB_TO_XYZ)


def to_srgb(image: Image, space: ColourSpace) -> Image:
    """Convert an image to sRGB in place; colours outside of sRGB's gamut are clipped.

    The rendering is relative colorimetric: the white of the space becomes white. The result is
    within 1 level of a computation in float64. 12 megapixels take about 30 ms, so images are
    converted as they are decoded, before any resizing.

    Args:
        image: (H, W, 3) uint8, RGB.
        space: of its colours.

    Returns:
        The same array, (H, W, 3) uint8 sRGB; untouched if the space is sRGB.
    """
    tables = _tables(space)
    if _is_srgb(tables):
        return image
    for top in range(0, len(image), _STRIP_ROWS):
        strip = image[top : top + _STRIP_ROWS]
        strip[:] = _convert(strip, *tables)
    return image


def matrix_of_primaries(
    primaries_xy: Sequence[tuple[float, float]], white_xy: tuple[float, float]
) -> Floats:
    """Return the matrix from linear RGB to XYZ relative to D50, adapted by Bradford's method.

    Args:
        primaries_xy: the chromaticities of red, green and blue.
        white_xy: the chromaticity of white.
    """
    primaries = np.array([[x, y, 1 - x - y] for x, y in primaries_xy]).T
    x, y = white_xy
    white = np.array([x, y, 1 - x - y]) / y
    scaled = primaries * np.linalg.solve(primaries, white)
    bradford = np.array(
        [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
    )
    d50 = SRGB_TO_XYZ.sum(axis=1)
    cones = np.diag((bradford @ d50) / (bradford @ white))
    adapted: Floats = np.linalg.inv(bradford) @ cones @ bradford @ scaled
    return adapted


Tables = tuple[NDArray[np.uint16], Floats, NDArray[np.uint8]]


def _tables(space: ColourSpace) -> Tables:
    """Return the linear levels, (1, 256, 3); the matrix to linear sRGB; and sRGB's encoding."""
    linear = np.rint(np.clip(space.curves, 0, 1) * _FULL).astype(np.uint16)[np.newaxis]
    matrix = np.asarray(np.linalg.solve(SRGB_TO_XYZ, space.to_xyz), np.float64)
    return linear, matrix, _srgb_encoding()


@cache
def _srgb_encoding() -> NDArray[np.uint8]:
    """Return the 8-bit sRGB level of each 16-bit linear level, (1, 65536)."""
    # the first linear level of each 8-bit level, halfway between it and the level below
    edges = srgb_curve((np.arange(1, 256) - 0.5) / 255) * _FULL
    levels = np.searchsorted(edges, np.arange(_FULL + 1), side="right")
    return levels.astype(np.uint8)[np.newaxis]


def _convert(
    image: Image, linear: NDArray[np.uint16], matrix: Floats, encoding: NDArray[np.uint8]
) -> Image:
    light = cv2.transform(cv2.LUT(image, linear), matrix)  # saturates at 0 and _FULL
    return np.asarray(cv2.LUT(light, encoding), np.uint8)


def _is_srgb(tables: Tables) -> bool:
    """Return whether a coarse grid of colours and all greys convert to themselves."""
    axis = np.linspace(0, 255, 6).astype(np.uint8)
    grid = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(1, -1, 3)
    greys = np.repeat(np.arange(256, dtype=np.uint8)[np.newaxis, :, np.newaxis], 3, axis=2)
    colours = np.concatenate([grid, greys], axis=1)
    return int(cv2.absdiff(_convert(colours, *tables), colours).max()) <= _SAME_LEVELS

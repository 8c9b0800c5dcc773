"""Turn a model's small mask into the matte of a photo: refine its edges, clean its colours.

Both work tile by tile, with means over neighbourhoods of a smaller copy of the photo, so that
memory does not grow with the photo.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.arrays import Image
from runtime.cutout.tiles import Tile, covering, scale_tile, split

Plane = NDArray[np.float32]

# Of the guided filter: the radius of a neighbourhood in cells of the mask, and the variance of a
# colour (levels in [0, 1]) from which it counts as an edge. runtime/DECISIONS.md has measurements.
RADIUS_CELLS = 2.0
EPSILON = 1e-5
# The radii of the neighbourhoods from which colours are estimated, in turn, and their limit.
COLOUR_RADII_CELLS = (20.0, 2.5, 0.6)
COLOUR_RADIUS_PX = 64
FAINT = 1 / 510  # half a level of alpha
# At both ends of alpha: the residue of the linear fit near edges that the photo does not have.
HAZE = 0.02


@dataclass(frozen=True, slots=True)
class Matte:
    """The alpha of a photo at a smaller size, with the smaller photo."""

    small: Image  # (h, w, 3) uint8 RGB, the photo or a smaller copy
    alpha: Plane  # (h, w) in [0, 1]
    cell_px: float  # side in px of `small` that one value of the model's mask covers, at least 1


def upscale(matte: Matte, height: int, width: int) -> Image:
    """Scale the matte bilinearly to (height, width).

    The alpha is converted to uint8 before it is scaled: this changes the result by one level at
    most, and takes a quarter of the memory.

    Returns:
        (height, width) uint8, 255 is foreground.
    """
    levels: Image = np.rint(matte.alpha * 255.0).astype(np.uint8)
    if levels.shape == (height, width):
        return levels
    scaled = cv2.resize(levels, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(scaled, np.uint8)


def refine(image: Image, matte: Matte) -> Image:
    """Scale the matte to the size of the photo and fit its edges to those of the photo.

    This is a guided filter (He, Sun and Tang): around each pixel alpha is a linear function of the
    colour, fitted to the mask. The function is fitted in the small image and applied to the photo.

    Args:
        image: (H, W, 3) uint8, RGB: the photo, of which `matte.small` is a smaller copy.
        matte: of the photo.

    Returns:
        (H, W) uint8, 255 is foreground.
    """
    target, source = image.shape[:2], matte.alpha.shape
    radius = max(1, round(RADIUS_CELLS * matte.cell_px))
    result = np.empty(target, np.uint8)
    for tile in split(*target):
        near = _near(tile, source, target, margin=2 * radius)
        mask = matte.alpha[near]
        if mask.max() < FAINT or mask.min() > 1 - FAINT:
            result[tile] = 255 if mask.max() > FAINT else 0
            continue
        lines = _coefficients(_unit(matte.small[near]), mask, radius)
        fitted = scale_tile(lines, at=near, source=source, tile=tile, target=target)
        alpha = np.einsum("yxc,yxc->yx", fitted[..., :3], _unit(image[tile])) + fitted[..., 3]
        stretched = (alpha - HAZE) / (1 - 2 * HAZE)
        result[tile] = np.rint(np.clip(stretched, 0, 1) * 255)
    return result


def clean(image: Image, alpha: Image, matte: Matte) -> None:
    """Remove the old background's colour from half-transparent pixels, in place.

    A half-transparent pixel is a mixture of two colours. Both are estimated as means of the
    neighbourhood, weighted by alpha for the foreground and by 1 - alpha for the background. The
    foreground then gets its share of the difference between the pixel and the mixture of the means
    (Forte's closed form, with wide neighbourhoods first).

    Args:
        image: (H, W, 3) uint8, RGB; its half-transparent pixels are overwritten.
        alpha: (H, W) uint8, the matte at the photo's size.
        matte: its small image supplies the means.
    """
    target, source = alpha.shape, matte.alpha.shape
    small = np.asarray(cv2.resize(alpha, source[::-1], interpolation=cv2.INTER_AREA), np.uint8)
    full_radii = [max(1, round(cells * matte.cell_px)) for cells in COLOUR_RADII_CELLS]
    radii = [min(radius, COLOUR_RADIUS_PX) for radius in full_radii]
    for tile in split(*target):
        soft = (alpha[tile] > 0) & (alpha[tile] < 255)
        if not soft.any():
            continue
        near = _near(tile, source, target, margin=sum(radii))
        means = _colours(_unit(matte.small[near]), _unit(small[near]), radii)
        both = [
            scale_tile(mean, at=near, source=source, tile=tile, target=target) for mean in means
        ]
        foreground = _foreground(_unit(image[tile]), _unit(alpha[tile]), *both)
        cleaned = np.rint(foreground * 255).astype(np.uint8)
        image[tile][soft] = cleaned[soft]


def _near(tile: Tile, source: tuple[int, ...], target: tuple[int, ...], *, margin: int) -> Tile:
    rows, columns = (
        covering(span, source=source_length, target=target_length, margin=margin)
        for span, source_length, target_length in zip(tile, source, target, strict=True)
    )
    return rows, columns


def _unit(levels: Image) -> Plane:
    return levels.astype(np.float32) / np.float32(255)


def _mean(plane: Plane, radius: int) -> Plane:
    side = 2 * radius + 1
    averaged = cv2.boxFilter(plane, -1, (side, side), borderType=cv2.BORDER_REFLECT)
    return np.asarray(averaged, np.float32)


def _coefficients(guide: Plane, mask: Plane, radius: int) -> Plane:
    """Return (h, w, 4): each pixel's factors of red, green and blue, and its constant."""
    # a variance is a difference of squares: float32 loses less of it around zero
    centred = guide - np.float32(0.5)
    mean, level = _mean(centred, radius), _mean(mask, radius)
    shared = _mean(centred * mask[..., np.newaxis], radius) - mean * level[..., np.newaxis]
    factors = _solve(_covariances(centred, mean, radius), shared)
    constant = level - np.einsum("yxc,yxc->yx", factors, mean)
    lines = _mean(np.dstack([factors, constant]), radius)
    lines[..., 3] -= np.float32(0.5) * lines[..., :3].sum(axis=2)
    return lines


def _covariances(guide: Plane, mean: Plane, radius: int) -> dict[tuple[int, int], Plane]:
    """Return the upper half of each neighbourhood's 3 x 3 colour covariance, regularized."""
    covariances = {}
    for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)):
        product = _mean(guide[..., i] * guide[..., j], radius) - mean[..., i] * mean[..., j]
        covariances[i, j] = product + np.float32(EPSILON) if i == j else product
    return covariances


def _solve(matrix: dict[tuple[int, int], Plane], right: Plane) -> Plane:
    """Solve a symmetric 3 x 3 system per pixel by its LDL factors.

    With Cramer's rule, rounding would lose the determinant of a grey image, whose channels are
    equal.

    Returns:
        (h, w, 3) float32.
    """
    # each diagonal holds EPSILON; rounding may take some of it
    least = np.float32(EPSILON / 2)
    first = np.maximum(matrix[0, 0], least)
    l10, l20 = matrix[0, 1] / first, matrix[0, 2] / first
    second = np.maximum(matrix[1, 1] - l10 * matrix[0, 1], least)
    below = matrix[1, 2] - l20 * matrix[0, 1]
    l21 = below / second
    third = np.maximum(matrix[2, 2] - l20 * matrix[0, 2] - l21 * below, least)
    y0 = right[..., 0]
    y1 = right[..., 1] - l10 * y0
    y2 = right[..., 2] - l20 * y0 - l21 * y1
    x2 = y2 / third
    x1 = y1 / second - l21 * x2
    x0 = y0 / first - l10 * x1 - l20 * x2
    return np.dstack([x0, x1, x2])


def _colours(guide: Plane, alpha: Plane, radii: Sequence[int]) -> tuple[Plane, Plane]:
    """Estimate the colours of foreground and background near each pixel: (h, w, 3) each."""
    front, back = guide, guide
    for radius in radii[:-1]:
        means = _colour_means(front, back, alpha, radius)
        front, back = _foreground(guide, alpha, *means), means[1]
    return _colour_means(front, back, alpha, radii[-1])


def _colour_means(front: Plane, back: Plane, alpha: Plane, radius: int) -> tuple[Plane, Plane]:
    """Return the mean of `front` weighted by alpha, and of `back` weighted by 1 - alpha."""
    weight = alpha[..., np.newaxis]
    share = _mean(alpha, radius)[..., np.newaxis]
    # without any such pixel nearby the mean is black, and its weight is 0
    least = np.float32(1e-5)
    return (
        _mean(front * weight, radius) / (share + least),
        _mean(back * (1 - weight), radius) / (1 - share + least),
    )


def _foreground(mixture: Plane, alpha: Plane, front: Plane, back: Plane) -> Plane:
    """Return the foreground's mean plus its share of what the mixture of the means leaves over."""
    share = alpha[..., np.newaxis]
    foreground = front + share * (mixture - share * front - (1 - share) * back)
    return np.asarray(np.clip(foreground, 0, 1), np.float32)

"""From the small mask of a model to the matte of a photo: finer edges, no colour of the old scene.

Both work in windows, with means over a neighbourhood of the image made smaller, so that memory
does not grow with the photo.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.arrays import Image
from runtime.cutout.tiles import Span, covering, scaled_part, windows

Plane = NDArray[np.float32]

# The guided filter's: half a neighbourhood in cells of the mask, and how much a colour must vary
# (variance of levels in [0, 1]) to count as an edge. runtime/DECISIONS.md has the measurements.
RADIUS_CELLS = 2.0
EPSILON = 1e-5
# Half the neighbourhoods that colours are taken from, one after the other, and their largest.
COLOUR_RADII_CELLS = (20.0, 2.5, 0.6)
COLOUR_RADIUS_PX = 64
FAINT = 1 / 510  # of alpha: half a level
HAZE = 0.02  # of alpha, at both ends: what a fit leaves beside an edge that is not in the photo


@dataclass(frozen=True, slots=True)
class Matte:
    """How much of each pixel is foreground, at the size that it was made at."""

    small: Image  # (h, w, 3) uint8 RGB, the photo or the photo made smaller
    alpha: Plane  # (h, w) in [0, 1]
    cell_px: float  # px of `small` that one value of the mask stands for, at least 1


def upscale(matte: Matte, height: int, width: int) -> Image:
    """The matte bilinearly at (height, width): uint8, 255 is foreground.

    Made uint8 before it is scaled: the result is within one level, at a quarter of the memory.
    """
    levels: Image = np.rint(matte.alpha * 255.0).astype(np.uint8)
    if levels.shape == (height, width):
        return levels
    scaled = cv2.resize(levels, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(scaled, np.uint8)


def refine(image: Image, matte: Matte) -> Image:
    """The matte at the size of the photo, its edges those of the photo.

    A guided filter (He, Sun and Tang): around each pixel alpha is a linear function of the colour,
    fitted to the mask. The function is found in the small image and applied to the large one.

    Args:
        image: (H, W, 3) uint8, RGB: the photo of which `matte.small` is the smaller.
        matte: its matte.

    Returns:
        (H, W) uint8, 255 is foreground.
    """
    target, source = image.shape[:2], matte.alpha.shape
    radius = max(1, round(RADIUS_CELLS * matte.cell_px))
    result = np.empty(target, np.uint8)
    for part in windows(*target):
        near = _near(part, source, target, margin=2 * radius)
        mask = matte.alpha[near]
        if mask.max() < FAINT or mask.min() > 1 - FAINT:
            result[part] = 255 if mask.max() > FAINT else 0
            continue
        lines = _coefficients(_unit(matte.small[near]), mask, radius)
        fitted = scaled_part(lines, at=near, source=source, part=part, target=target)
        alpha = np.einsum("yxc,yxc->yx", fitted[..., :3], _unit(image[part])) + fitted[..., 3]
        stretched = (alpha - HAZE) / (1 - 2 * HAZE)
        result[part] = np.rint(np.clip(stretched, 0, 1) * 255)
    return result


def clean(image: Image, alpha: Image, matte: Matte) -> None:
    """Take the old background's colour out of the soft pixels, in place.

    What a half-transparent pixel shows is a mixture. The colours of foreground and background are
    taken as their means nearby, each pixel counting by its alpha; what the mixture of these leaves
    unexplained goes to the foreground by its share (Forte's closed form, from wide to narrow).

    Args:
        image: (H, W, 3) uint8, RGB; its soft pixels are overwritten.
        alpha: (H, W) uint8, the matte at the photo's size.
        matte: whose small image gives the means.
    """
    target, source = alpha.shape, matte.alpha.shape
    small = np.asarray(cv2.resize(alpha, source[::-1], interpolation=cv2.INTER_AREA), np.uint8)
    wanted = [max(1, round(cells * matte.cell_px)) for cells in COLOUR_RADII_CELLS]
    radii = [min(radius, COLOUR_RADIUS_PX) for radius in wanted]
    for part in windows(*target):
        soft = (alpha[part] > 0) & (alpha[part] < 255)
        if not soft.any():
            continue
        near = _near(part, source, target, margin=sum(radii))
        means = _colours(_unit(matte.small[near]), _unit(small[near]), radii)
        both = [
            scaled_part(mean, at=near, source=source, part=part, target=target) for mean in means
        ]
        found = _foreground(_unit(image[part]), _unit(alpha[part]), *both)
        cleaned = np.rint(found * 255).astype(np.uint8)
        image[part][soft] = cleaned[soft]


def _near(part: Span, source: tuple[int, ...], target: tuple[int, ...], *, margin: int) -> Span:
    rows, columns = (
        covering(span, source=length, target=wanted, margin=margin)
        for span, length, wanted in zip(part, source, target, strict=True)
    )
    return rows, columns


def _unit(levels: Image) -> Plane:
    return levels.astype(np.float32) / np.float32(255)


def _mean(plane: Plane, radius: int) -> Plane:
    side = 2 * radius + 1
    averaged = cv2.boxFilter(plane, -1, (side, side), borderType=cv2.BORDER_REFLECT)
    return np.asarray(averaged, np.float32)


def _coefficients(guide: Plane, mask: Plane, radius: int) -> Plane:
    """(h, w, 4): the factors of red, green and blue, and the constant, of each pixel's function."""
    # variances are differences of squares: around zero less of float32 is lost
    centred = guide - np.float32(0.5)
    mean, level = _mean(centred, radius), _mean(mask, radius)
    shared = _mean(centred * mask[..., np.newaxis], radius) - mean * level[..., np.newaxis]
    factors = _solve(_covariances(centred, mean, radius), shared)
    constant = level - np.einsum("yxc,yxc->yx", factors, mean)
    lines = _mean(np.dstack([factors, constant]), radius)
    lines[..., 3] -= np.float32(0.5) * lines[..., :3].sum(axis=2)
    return lines


def _covariances(guide: Plane, mean: Plane, radius: int) -> dict[tuple[int, int], Plane]:
    """The upper half of each neighbourhood's 3 x 3 matrix of colours, regularised."""
    found = {}
    for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)):
        product = _mean(guide[..., i] * guide[..., j], radius) - mean[..., i] * mean[..., j]
        found[i, j] = product + np.float32(EPSILON) if i == j else product
    return found


def _solve(matrix: dict[tuple[int, int], Plane], right: Plane) -> Plane:
    """Symmetric 3 x 3 systems by their LDL factors: (h, w, 3).

    Cramer's rule loses the determinant of a grey picture, whose channels are equal, in rounding.
    """
    least = np.float32(EPSILON / 2)  # EPSILON is in each, but for rounding
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
    """(h, w, 3) each: the colour of what is foreground nearby, and of what is not."""
    front, back = guide, guide
    for radius in radii[:-1]:
        means = _colour_means(front, back, alpha, radius)
        front, back = _foreground(guide, alpha, *means), means[1]
    return _colour_means(front, back, alpha, radii[-1])


def _colour_means(front: Plane, back: Plane, alpha: Plane, radius: int) -> tuple[Plane, Plane]:
    """Means of the one weighted by alpha, and of the other by the rest."""
    weight = alpha[..., np.newaxis]
    share = _mean(alpha, radius)[..., np.newaxis]
    least = np.float32(1e-5)  # where there is none nearby the mean is black, and weighs nothing
    return (
        _mean(front * weight, radius) / (share + least),
        _mean(back * (1 - weight), radius) / (1 - share + least),
    )


def _foreground(mixture: Plane, alpha: Plane, front: Plane, back: Plane) -> Plane:
    """The mean of the foreground, and by alpha what the means do not explain."""
    share = alpha[..., np.newaxis]
    found = front + share * (mixture - share * front - (1 - share) * back)
    return np.asarray(np.clip(found, 0, 1), np.float32)

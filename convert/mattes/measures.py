"""How far a matte, and the colours under it, are from the truth."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from convert.mattes.composites import Composite, Image, Plane
from convert.mattes.masks import Masked
from runtime.cutout.compose import limit_side
from runtime.cutout.matting import Matte, clean, refine, upscale

MAX_SIDE_PX = 1024  # of the image that the served mask is made from
SOFT = (0.02, 0.98)  # of alpha: what is neither the one nor the other
BAND_PX = 15  # around the soft pixels, where mattes differ
BEHIND = ((255, 255, 255), (0, 0, 0), (0, 180, 60))  # what the foreground is put before
OVERLAP = 0.75  # of a mask with the truth; below, the model saw something else


@dataclass(frozen=True, slots=True)
class Errors:
    """Means over pictures; alpha in thousandths, colours in levels of 255."""

    mae: float  # over all pixels
    band_mae: float  # near soft pixels
    band_mse: float
    gradient: float  # of the difference of slopes, near soft pixels
    colour: float  # of the picture before something new, at soft pixels


@dataclass(frozen=True, slots=True)
class Compared:
    """The same masks brought to the photo's size in three ways."""

    pictures: int
    bilinear: Errors
    refined: Errors
    cleaned: Errors  # refined, and its colours cleaned


def compare(composites: Sequence[Composite], masked: Masked) -> Compared:
    """Judge the mattes made of one kind of mask; masks of something else are left out."""
    found = []
    for composite in composites:
        small = limit_side(composite.image, MAX_SIDE_PX)
        mask = masked(composite)
        if overlap(mask, composite.alpha) < OVERLAP:
            continue
        scaled = cv2.resize(mask, small.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        cell_px = max(small.shape[:2]) / max(mask.shape)
        matte = Matte(small, np.asarray(scaled, np.float32), cell_px)
        found.append(_three(composite, matte))
    if not found:
        nothing = Errors(*[float("nan")] * 5)
        return Compared(0, nothing, nothing, nothing)
    means = np.mean(np.array(found, np.float64), axis=0)
    return Compared(len(found), *(Errors(*map(float, row)) for row in means))


def overlap(mask: Plane, alpha: Plane) -> float:
    """Intersection over union of what is mostly foreground."""
    small = cv2.resize(alpha, mask.shape[::-1], interpolation=cv2.INTER_AREA)
    ours, true = mask > 0.5, small > 0.5
    return float((ours & true).sum() / max(1, (ours | true).sum()))


def _three(composite: Composite, matte: Matte) -> list[tuple[float, ...]]:
    image = composite.image
    scaled = upscale(matte, *image.shape[:2])
    refined = refine(image, matte)
    cleaned = image.copy()
    clean(cleaned, refined, matte)
    pairs = ((scaled, image), (refined, image), (refined, cleaned))
    return [astuple(errors(composite, alpha, colours)) for alpha, colours in pairs]


def errors(composite: Composite, levels: Image, colours: Image) -> Errors:
    """How far one matte and its colours are from the truth."""
    true, found = composite.alpha, levels.astype(np.float32) / np.float32(255)
    soft = (true > SOFT[0]) & (true < SOFT[1])
    band = cv2.dilate(soft.astype(np.uint8), np.ones((BAND_PX, BAND_PX), np.uint8)) > 0
    apart = np.abs(found - true)
    slopes = np.abs(_slope(found) - _slope(true))
    seen = soft | ((found > SOFT[0]) & (found < SOFT[1]))
    return Errors(
        mae=1e3 * float(apart.mean()),
        band_mae=1e3 * float(apart[band].mean()),
        band_mse=1e3 * float((apart[band] ** 2).mean()),
        gradient=1e3 * float(slopes[band].mean()),
        colour=_colour_error(composite, found, colours, seen),
    )


def _slope(alpha: Plane) -> Plane:
    across, down = (cv2.Sobel(alpha, cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
    return np.hypot(across, down)


def _colour_error(
    composite: Composite, alpha: Plane, colours: Image, seen: NDArray[np.bool_]
) -> float:
    ours, true = (share[seen][:, np.newaxis] for share in (alpha, composite.alpha))
    front, wanted = colours[seen].astype(np.float32), composite.foreground[seen]
    each = [
        np.abs(ours * front + (1 - ours) * new - true * wanted - (1 - true) * new).mean()
        for new in np.array(BEHIND, np.float32)
    ]
    return float(np.mean(each))

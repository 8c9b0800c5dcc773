"""Read coding-independent code points (cICP in PNG, nclx in AVIF) to a colour space.

Source: ITU-T H.273 (07/2024), tables 2 and 3.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from runtime.media.images.colour.icc import ProfileError
from runtime.media.images.colour.srgb import (
    ColourSpace,
    Floats,
    matrix_of_primaries,
    srgb_curve,
)

_D65, _C, _DCI, _E = (0.3127, 0.3290), (0.310, 0.316), (0.314, 0.351), (1 / 3, 1 / 3)
_SMPTE_170M = ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65)
# red, green, blue and white by code
_PRIMARIES: Mapping[int, tuple[tuple[float, float], ...]] = {
    1: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), _D65),
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), _C),
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), _D65),
    6: _SMPTE_170M,
    7: _SMPTE_170M,
    8: ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), _C),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),
    10: ((1.0, 0.0), (0.0, 1.0), (0.0, 0.0), _E),
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _DCI),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65),
    22: ((0.630, 0.340), (0.295, 0.605), (0.155, 0.077), _D65),
}
_SRGB = 13  # transfer
_HDR = {16: "PQ", 18: "HLG"}


@dataclass(frozen=True, slots=True)
class CodePoints:
    """The code points of an image; 2 means unspecified."""

    primaries: int
    transfer: int
    full_range: bool = True  # False: black is 16 and white 235


def read_cicp(points: CodePoints) -> ColourSpace:
    """Return the colour space of code points; unspecified ones are those of sRGB.

    Raises:
        ProfileError: a code is reserved, or means high dynamic range.
    """
    primaries = _PRIMARIES.get(1 if points.primaries == 2 else points.primaries)
    transfer = _TRANSFERS.get(_SRGB if points.transfer == 2 else points.transfer)
    if points.transfer in _HDR:
        raise ProfileError(f"is of high dynamic range ({_HDR[points.transfer]})")
    if primaries is None or transfer is None:
        codes = f"primaries {points.primaries}, transfer {points.transfer}"
        raise ProfileError(f"has codes that are not known ({codes})")
    levels = np.arange(256) / 255
    if not points.full_range:
        levels = np.clip((np.arange(256) - 16) / 219, 0.0, 1.0)
    curve = transfer(levels)
    red, green, blue, white = primaries
    matrix = matrix_of_primaries((red, green, blue), white)
    return ColourSpace(np.repeat(curve[:, np.newaxis], 3, axis=1), matrix)


def _bt_709(levels: Floats) -> Floats:
    return np.where(levels < 0.081, levels / 4.5, ((levels + 0.099) / 1.099) ** (1 / 0.45))


def _smpte_240m(levels: Floats) -> Floats:
    return np.where(levels < 0.0912, levels / 4.0, ((levels + 0.1115) / 1.1115) ** (1 / 0.45))


def _power(gamma: float) -> Callable[[Floats], Floats]:
    return lambda levels: np.asarray(levels**gamma)


_TRANSFERS: Mapping[int, Callable[[Floats], Floats]] = {
    1: _bt_709,
    4: _power(2.2),
    5: _power(2.8),
    6: _bt_709,
    7: _smpte_240m,
    8: _power(1.0),
    11: _bt_709,
    12: _bt_709,
    13: srgb_curve,
    14: _bt_709,
    15: _bt_709,
    17: lambda levels: np.asarray(levels**2.6),
}

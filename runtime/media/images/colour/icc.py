"""Read an ICC profile to a colour space: matrix and curves, of RGB or grey.

Profiles that are lookup tables (those of printers, some of scanners, all of CMYK) are not
evaluated: photos rarely have one.

Source: ICC.1:2022, sections 7.2, 7.3, 8.3, 10.6, 10.18 and 10.31.
"""

import struct
from collections.abc import Mapping

import numpy as np

from runtime.errors import InputError
from runtime.media.images.colour.srgb import SRGB_TO_XYZ, ColourSpace, Floats, grey_space

_HEADER_BYTES = 128
_MAX_TAGS = 256
_LEVELS = np.linspace(0.0, 1.0, 256)
_PARAMETERS: Mapping[int, int] = {0: 1, 1: 3, 2: 4, 3: 5, 4: 7}  # by type of a parametric curve
_WHITE_TOLERANCE = 0.1  # in XYZ; the white of every profile is D50
_COLUMNS = (b"rXYZ", b"gXYZ", b"bXYZ")
_CURVES = (b"rTRC", b"gTRC", b"bTRC")
_TABLES = (b"A2B0", b"A2B1")


class ProfileError(InputError):
    """A profile is damaged or of a kind that is not evaluated: a predicate, "is damaged"."""


def read_icc(profile: bytes) -> tuple[ColourSpace, bool]:
    """Return the colour space of a profile, and whether its matrix gives it exactly.

    A profile may hold a lookup table besides its matrix; the matrix is then an approximation.

    Raises:
        ProfileError: it is damaged, or has no matrix.
    """
    if profile[36:40] != b"acsp":
        raise ProfileError("is damaged: it has no signature 'acsp'")
    try:
        tags = _tags(profile)
        space = _space(profile[16:20], profile[20:24], tags)
    except (struct.error, LookupError, ValueError):
        raise ProfileError("is damaged: a tag is missing or incomplete") from None
    return space, not any(name in tags for name in _TABLES)


def _tags(profile: bytes) -> Mapping[bytes, bytes]:
    (count,) = struct.unpack_from(">I", profile, _HEADER_BYTES)
    if count > _MAX_TAGS:
        raise ValueError
    entries = [struct.unpack_from(">4sII", profile, 132 + 12 * index) for index in range(count)]
    return {name: profile[offset : offset + size] for name, offset, size in entries}


def _space(device: bytes, connection: bytes, tags: Mapping[bytes, bytes]) -> ColourSpace:
    if device == b"GRAY" and b"kTRC" in tags:
        return grey_space(_curve(tags[b"kTRC"]))
    if device != b"RGB ":
        name = ascii(device.decode("latin-1").strip())[1:-1]
        raise ProfileError(f"is for {name}, which is not converted")
    if connection != b"XYZ " or not any(name in tags for name in _COLUMNS):
        raise ProfileError("is a lookup table, which is not evaluated")
    to_xyz = np.stack([_xyz(tags[name]) for name in _COLUMNS], axis=1)
    if np.abs(to_xyz.sum(axis=1) - SRGB_TO_XYZ.sum(axis=1)).max() > _WHITE_TOLERANCE:
        raise ProfileError("is damaged: its primaries do not add up to white")
    return ColourSpace(np.stack([_curve(tags[name]) for name in _CURVES], axis=1), to_xyz)


def _xyz(tag: bytes) -> Floats:
    if tag[:4] != b"XYZ ":
        raise ValueError
    return np.array(struct.unpack_from(">3i", tag, 8)) / 65536


def _curve(tag: bytes) -> Floats:
    """Return (256,) linear light in [0, 1] of each 8-bit level."""
    (number,) = struct.unpack_from(">I", tag, 8)
    if tag[:4] == b"para":
        return _parametric(number >> 16, tag)
    if tag[:4] != b"curv":
        raise ValueError
    if number == 0:
        return _LEVELS
    if number == 1:
        (gamma,) = struct.unpack_from(">H", tag, 12)
        return np.asarray(_LEVELS ** (gamma / 256))
    table = np.frombuffer(tag, ">u2", number, 12) / 65535
    return np.interp(_LEVELS, np.linspace(0.0, 1.0, number), table)


def _parametric(kind: int, tag: bytes) -> Floats:
    """Evaluate a curve of type 0 to 4: a power of ax + b, and below d a line."""
    count = _PARAMETERS[kind]
    values = [value / 65536 for value in struct.unpack_from(f">{count}i", tag, 12)]
    gamma, a, b = (*values, 1.0, 0.0)[:3] if count == 1 else values[:3]
    power = np.maximum(a * _LEVELS + b, 0.0) ** gamma
    offset, slope, intercept = 0.0, 0.0, 0.0
    start = -b / a if a else 0.0
    if kind == 2:
        offset = intercept = values[3]
    if kind >= 3:
        slope, start = values[3:5]
    if kind == 4:
        offset, intercept = values[5:7]
    curve = np.where(start <= _LEVELS, power + offset, slope * _LEVELS + intercept)
    return np.clip(curve, 0.0, 1.0)

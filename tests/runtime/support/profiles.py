"""ICC profiles made by hand: a matrix and curves, or a lookup table."""

import struct
from collections.abc import Mapping, Sequence

import numpy as np

D50 = (0.96422, 1.0, 0.82521)
DISPLAY_P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.3127, 0.3290))
ADOBE_RGB = ((0.640, 0.330), (0.210, 0.710), (0.150, 0.060), (0.3127, 0.3290))
PROPHOTO = ((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001), (0.3457, 0.3585))
SRGB = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), (0.3127, 0.3290))
SRGB_CURVE = (3, (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))


def parametric(kind: int, values: Sequence[float]) -> bytes:
    return struct.pack(f">4s4xH2x{len(values)}i", b"para", kind, *(_fixed(v) for v in values))


def table(levels: Sequence[int]) -> bytes:
    """Return a curve of 16-bit levels; one level is a gamma in 256ths, none the identity."""
    return struct.pack(f">4s4xI{len(levels)}H", b"curv", len(levels), *levels)


def matrix_profile(primaries: Sequence[tuple[float, float]], curve: bytes, **more: bytes) -> bytes:
    """Return an RGB profile of primaries and white, x and y each, adapted to D50 by Bradford."""
    columns = _adapted(primaries).T
    tags = {
        name: _xyz(column) for name, column in zip(("rXYZ", "gXYZ", "bXYZ"), columns, strict=True)
    }
    curves = dict.fromkeys(("rTRC", "gTRC", "bTRC"), curve)
    return profile(b"RGB ", {"wtpt": _xyz(D50), **tags, **curves, **more})


def grey_profile(curve: bytes) -> bytes:
    return profile(b"GRAY", {"wtpt": _xyz(D50), "kTRC": curve})


def profile(device: bytes, tags: Mapping[str, bytes], connection: bytes = b"XYZ ") -> bytes:
    offset = 132 + 12 * len(tags)
    directory, contents = b"", b""
    for name, tag in tags.items():
        directory += struct.pack(">4sII", name.encode(), offset + len(contents), len(tag))
        contents += tag + b"\0" * (-len(tag) % 4)
    fields = struct.pack(">4xI4s4s4s", 0x04300000, b"mntr", device, connection)
    date = struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp")
    white = struct.pack(">3i", *(_fixed(value) for value in D50))
    header = (fields + date + b"\0" * 28 + white).ljust(124, b"\0")
    size = 4 + len(header) + 4 + len(directory) + len(contents)
    return struct.pack(">I", size) + header + struct.pack(">I", len(tags)) + directory + contents


def _adapted(primaries: Sequence[tuple[float, float]]) -> np.ndarray:
    *colours, white = (np.array([x, y, 1 - x - y]) / y for x, y in primaries)
    matrix = np.stack(colours, axis=1)
    matrix = matrix * np.linalg.solve(matrix, white)
    cones = np.array(
        [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
    )
    scale = np.diag((cones @ D50) / (cones @ white))
    adapted: np.ndarray = np.linalg.inv(cones) @ scale @ cones @ matrix
    return adapted


def _xyz(values: Sequence[float]) -> bytes:
    return struct.pack(">4s4x3i", b"XYZ ", *(_fixed(value) for value in values))


def _fixed(value: float) -> int:
    return round(value * 65536)

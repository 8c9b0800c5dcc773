"""Pictures put together by us, so that alpha and foreground are known at each pixel."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
Image = NDArray[np.uint8]

NOISE_LEVELS = 2.0  # of a sensor, standard deviation
STRAND_POINTS = 12


@dataclass(frozen=True, slots=True)
class Composite:
    """One picture and its truth."""

    image: Image  # (H, W, 3), what a camera would have seen
    alpha: Plane  # (H, W) in [0, 1]
    foreground: Plane  # (H, W, 3) levels 0 to 255, meant where alpha is above zero


def composites(
    textures: Sequence[Image], *, count: int, longest_px: int, seed: int = 0
) -> list[Composite]:
    """Put a foreground of one texture before another one.

    Args:
        textures: (H, W, 3) uint8 RGB, at least two; taken in pairs.
        count: how many.
        longest_px: longer side of each picture.
        seed: of the outlines.
    """
    drawn = []
    for index in range(count):
        rng = np.random.default_rng((seed, index))
        height = round(longest_px * rng.uniform(0.7, 1.0))
        front, behind = (textures[(2 * index + side) % len(textures)] for side in (0, 1))
        drawn.append(_composite(rng, front, behind, height=height, width=longest_px))
    return drawn


def _composite(
    rng: np.random.Generator, front: Image, behind: Image, *, height: int, width: int
) -> Composite:
    alpha = matte(rng, height=height, width=width)
    foreground, background = (_fitted(each, height, width) for each in (front, behind))
    share = alpha[..., np.newaxis]
    mixed = share * foreground + (1 - share) * background
    noisy = mixed + rng.normal(0, NOISE_LEVELS, np.shape(mixed))
    return Composite(np.clip(np.rint(noisy), 0, 255).astype(np.uint8), alpha, foreground)


def matte(rng: np.random.Generator, *, height: int, width: int) -> Plane:
    """A body whose edge is here sharp and there soft, with hair on a part of it.

    Returns:
        (H, W) float32 in [0, 1].
    """
    outline = _outline(rng, height, width)
    solid = np.zeros((height, width), np.uint8)
    cv2.fillPoly(solid, [np.rint(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    body = solid.astype(np.float32) / 255
    unit = max(height, width) / 1000
    sharp = cv2.GaussianBlur(body, (0, 0), 0.7 * unit)
    soft = cv2.GaussianBlur(body, (0, 0), rng.uniform(2, 7) * unit)
    where = cv2.resize(rng.uniform(0, 1, (4, 4)).astype(np.float32), (width, height))
    share = np.clip(where * 4 - 2, 0, 1)  # mostly one or the other
    mixed = sharp * (1 - share) + soft * share
    hairy = np.maximum(mixed, _hair(rng, outline, height=height, width=width))
    return np.clip(hairy, 0, 1).astype(np.float32)  # a blur may round upwards


def _outline(rng: np.random.Generator, height: int, width: int) -> NDArray[np.float64]:
    """(240, 2) x, y in px of a smooth closed curve."""
    angles = np.linspace(0, 2 * np.pi, 240, endpoint=False)
    radius = np.ones_like(angles)
    for order in range(1, 7):
        radius += rng.normal(0, 0.22 / order) * np.cos(order * angles + rng.uniform(0, 2 * np.pi))
    radius = np.clip(radius, 0.35, 1.6) * min(height, width) * 0.27
    centre = np.array([width, height]) * rng.uniform(0.42, 0.58, 2)
    return centre + radius[:, np.newaxis] * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _hair(
    rng: np.random.Generator, outline: NDArray[np.float64], *, height: int, width: int
) -> Plane:
    """Strands from a third of the outline, growing outwards and bending."""
    canvas = np.zeros((height, width), np.uint8)
    unit = max(height, width) / 1000
    centre = outline.mean(axis=0)
    first = int(rng.integers(len(outline)))
    for _ in range(int(rng.integers(150, 400))):
        root = outline[(first + int(rng.integers(80))) % len(outline)]
        outwards = np.arctan2(*(root - centre)[::-1]) + rng.normal(0, 0.35)
        bends = np.cumsum(rng.normal(0, 0.13, STRAND_POINTS)) + outwards
        step = rng.uniform(3, 11) * unit
        path = root + np.cumsum(step * np.stack([np.cos(bends), np.sin(bends)], 1), axis=0)
        strand = np.zeros_like(canvas)
        thick = max(1, round(rng.uniform(0.6, 2.6) * unit))
        points = np.rint(np.vstack([root, path]) * 16).astype(np.int32)
        level = int(rng.uniform(90, 255))
        cv2.polylines(strand, [points], False, level, thick, cv2.LINE_AA, 4)
        np.maximum(canvas, strand, out=canvas)
    return cv2.GaussianBlur(canvas, (0, 0), 0.5).astype(np.float32) / np.float32(255)


def _fitted(texture: Image, height: int, width: int) -> Plane:
    scaled = cv2.resize(texture, (width, height), interpolation=cv2.INTER_CUBIC)
    return scaled.astype(np.float32)

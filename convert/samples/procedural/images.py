"""Synthetic images: scenes and faces."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.arrays import Image

Plane = NDArray[Any]  # float levels in [0, 1]
Kind = Literal["scene", "face"]


def generate_images(kind: Kind, split: int, count: int) -> list[Image]:
    """Generate images.

    Args:
        kind: "scene" (objects in front of a background) or "face" (a face crop).
        split: CALIBRATION, EVALUATION, GOLDEN or SAMPLES.
        count: number of images; image i does not depend on it.

    Returns:
        (H, W, 3) uint8 RGB images of various sizes.
    """
    generate = _GENERATORS[kind]
    return [generate(np.random.default_rng((split, index))) for index in range(count)]


def _scene(rng: np.random.Generator) -> Image:
    """Generate a photo-like scene: textured background, one to three shaded objects, noise."""
    height, width = (int(rng.integers(240, 520)) for _ in range(2))
    canvas = _background(rng, height, width)
    for _ in range(int(rng.integers(1, 4))):
        mask = _figure(rng, height, width) if rng.random() < 0.4 else _blob(rng, height, width)
        texture = _texture(rng, height, width, contrast=float(rng.uniform(0.1, 0.6)))
        shade = _gradient(rng, height, width)[..., np.newaxis]
        colour = rng.uniform(0, 1, 3)
        surface = np.clip(colour * (0.5 + shade) + texture - 0.25, 0, 1)
        canvas = canvas * (1 - mask) + surface * mask
    return _photograph(rng, canvas)


def _face(rng: np.random.Generator) -> Image:
    """Generate a face that fills the image; shape, features, light and expression vary."""
    side = int(rng.integers(48, 200))
    unit = 256
    canvas = _background(rng, unit, unit)
    skin = np.array([0.95, 0.75, 0.6]) * rng.uniform(0.3, 1.0)
    head = _ellipse_mask(unit, (128, 132), (rng.uniform(80, 105), rng.uniform(100, 125)), 0)
    shade = _gradient(rng, unit, unit)[..., np.newaxis]
    relief = _texture(rng, unit, unit, contrast=0.1)
    canvas = canvas * (1 - head) + np.clip(skin * (0.45 + 0.7 * shade) + relief - 0.05, 0, 1) * head
    hair = _ellipse_mask(
        unit, (128, rng.uniform(10, 45)), (rng.uniform(80, 120), rng.uniform(30, 55)), 0
    )
    canvas = canvas * (1 - hair) + rng.uniform(0, 0.6, 3) * rng.uniform(0.2, 1) * hair
    canvas = _features(rng, canvas, dark=skin * rng.uniform(0.1, 0.4))
    small: Image = cv2.resize(
        _photograph(rng, canvas), (side, side), interpolation=cv2.INTER_AREA
    ).astype(np.uint8)
    return small


def _features(rng: np.random.Generator, canvas: Plane, *, dark: Plane) -> Plane:
    """Draw eyes, brows, nose and mouth in the colour `dark`."""
    image = np.ascontiguousarray(canvas, np.float32)
    ink = tuple(float(value) for value in dark)
    opening, brow_lift, brow_tilt = rng.uniform(4, 18), rng.uniform(-6, 14), rng.uniform(-12, 12)
    curve, gape, mouth_width = rng.uniform(-22, 26), rng.uniform(0, 26), rng.uniform(22, 48)
    eye_y = float(rng.uniform(102, 118))
    for side in (-1, 1):
        x = 128 + side * float(rng.uniform(36, 46))
        _draw_ellipse(image, (x, eye_y), (18, opening), (0.93, 0.93, 0.9))
        _draw_ellipse(image, (x + rng.uniform(-5, 5), eye_y), (7, min(opening, 8)), ink)
        y = eye_y - 20 - brow_lift
        inner, outer = (x - side * 20, y + brow_tilt), (x + side * 20, y - brow_tilt / 2)
        cv2.line(image, _point(inner), _point(outer), ink, 6, cv2.LINE_AA)
    cv2.line(
        image, (128, _round(eye_y + 12)), (_round(rng.uniform(118, 138)), 152), ink, 3, cv2.LINE_AA
    )
    t = np.linspace(-1, 1, 24)
    lip = 192 + curve * (t * t - 0.5) * -1
    upper = np.stack([128 + t * mouth_width, lip - gape * (1 - t * t) / 2], 1)
    lower = np.stack([128 + t * mouth_width, lip + 5 + gape * (1 - t * t) / 2], 1)
    outline = np.concatenate([upper, lower[::-1]]).round().astype(np.int32)
    cv2.fillPoly(image, [outline], ink, cv2.LINE_AA)
    return image.astype(np.float64)


def _background(rng: np.random.Generator, height: int, width: int) -> Plane:
    base = _gradient(rng, height, width)[..., np.newaxis] * rng.uniform(0.2, 1, 3)
    detail = _texture(rng, height, width, contrast=float(rng.uniform(0.0, 0.7)))
    return np.clip(base + rng.uniform(-0.2, 0.5) + detail - 0.3, 0, 1)


def _gradient(rng: np.random.Generator, height: int, width: int) -> Plane:
    """Return a ramp from 0 to 1 in a random direction, (H, W)."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    ramp = np.cos(angle) * x + np.sin(angle) * y
    return (ramp - ramp.min()) / (ramp.max() - ramp.min())


def _texture(rng: np.random.Generator, height: int, width: int, *, contrast: float) -> Plane:
    """Return (H, W, 3) noise of several scales; most of it is grey, as in photos."""
    total: Plane = np.zeros((height, width, 3))
    for cells in (3, 8, 24, 80):
        grid = (
            rng.uniform(0, 1, (cells, cells, 1)) * 0.7 + rng.uniform(0, 1, (cells, cells, 3)) * 0.3
        )
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) / (cells**0.4)
    return contrast * total / total.max()


def _blob(rng: np.random.Generator, height: int, width: int) -> Plane:
    """Return a smooth or angular closed shape as a soft (H, W, 1) mask."""
    corners = int(rng.integers(3, 12))
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False) + rng.uniform(0, 1)
    radius = rng.uniform(0.12, 0.4) * min(height, width) * rng.uniform(0.6, 1.3, corners)
    if rng.random() < 0.6:
        dense = np.linspace(0, 2 * np.pi, 120, endpoint=False)
        radius = np.interp(dense, angles, radius, period=2 * np.pi)
        radius = np.convolve(np.tile(radius, 3), np.ones(15) / 15, "same")[120:240]
        angles = dense
    centre = np.array([width, height]) * rng.uniform(0.25, 0.75, 2)
    stretch = rng.uniform(0.6, 1.5, 2)
    outline = centre + radius[:, None] * stretch * np.stack([np.cos(angles), np.sin(angles)], 1)
    return _polygon_mask(height, width, outline, rng.uniform(0.5, 2.5))


def _figure(rng: np.random.Generator, height: int, width: int) -> Plane:
    """Return a standing figure (head, trunk, limbs) as a soft (H, W, 1) mask."""
    size = height * rng.uniform(0.4, 0.9)
    foot = np.array([width * rng.uniform(0.3, 0.7), height * rng.uniform(0.85, 1.0)])
    hip, neck = foot - [0, size * 0.48], foot - [0, size * 0.82]
    mask = np.zeros((height, width), np.uint8)
    thick = max(2, _round(size * 0.07))
    for start, spread, reach in (
        (hip, 0.25, 0.48),
        (hip, 0.25, 0.48),
        (neck, 0.5, 0.4),
        (neck, 0.5, 0.4),
    ):
        end = start + size * np.array([rng.uniform(-spread, spread), reach])
        cv2.line(mask, _point(start), _point(end), 255, thick, cv2.LINE_AA)
    cv2.line(mask, _point(hip), _point(neck), 255, thick * 2, cv2.LINE_AA)
    head = neck - [0, size * 0.1]
    cv2.circle(mask, _point(head), _round(size * 0.085), 255, -1, cv2.LINE_AA)
    return cv2.GaussianBlur(mask, (0, 0), 1.0)[..., np.newaxis] / 255.0


def _polygon_mask(height: int, width: int, outline: Plane, blur_px: float) -> Plane:
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [outline.round().astype(np.int32)], 255, cv2.LINE_AA)
    return cv2.GaussianBlur(mask, (0, 0), blur_px)[..., np.newaxis] / 255.0


def _ellipse_mask(side: int, centre: tuple, axes: tuple, angle: float) -> Plane:
    mask = np.zeros((side, side), np.uint8)
    cv2.ellipse(mask, _point(centre), _point(axes), angle, 0, 360, 255, -1, cv2.LINE_AA)
    return cv2.GaussianBlur(mask, (0, 0), 1.5)[..., np.newaxis] / 255.0


def _draw_ellipse(image: Plane, centre: tuple, axes: tuple, colour: tuple) -> None:
    cv2.ellipse(image, _point(centre), _point(axes), 0, 0, 360, colour, -1, cv2.LINE_AA)


def _photograph(rng: np.random.Generator, canvas: Plane) -> Image:
    """Add light, blur and sensor noise; some images are under- or over-exposed, or grey."""
    if rng.random() < 0.12:
        canvas = canvas.mean(axis=2, keepdims=True).repeat(3, axis=2)
    gain, gamma = rng.choice([0.35, 0.8, 1.0, 1.0, 1.25, 1.8]), rng.uniform(0.7, 1.4)
    canvas = np.clip(canvas * gain, 0, 1) ** gamma
    canvas = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.4, 1.2))
    noisy = canvas * 255 + rng.normal(0, rng.uniform(0, 8), canvas.shape)
    return np.clip(noisy, 0, 255).round().astype(np.uint8)


def _round(value: float) -> int:
    return round(float(value))


def _point(values: tuple | Plane) -> tuple[int, int]:
    return _round(values[0]), _round(values[1])


_GENERATORS: Mapping[Kind, Callable[[np.random.Generator], Image]] = {
    "scene": _scene,
    "face": _face,
}

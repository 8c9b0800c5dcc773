"""Rendering of walkers: build and clothes, limbs sorted by distance, room, light and noise."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from convert.samples.walkers.camera import Lens
from convert.samples.walkers.motion import JOINTS, PARTS
from runtime.arrays import Image

Points = NDArray[np.float64]
Colour = tuple[float, float, float]

SHIFT = 4  # fractional bits of OpenCV's coordinates, so that limbs move smoothly
ARC = np.linspace(0, 2 * np.pi, 16, endpoint=False)
CIRCLE = np.stack([np.cos(ARC), np.sin(ARC)], 1)  # (16, 2), radius 1


@dataclass(frozen=True, slots=True)
class Appearance:
    """Build and clothes of a walker; widths are radii in body heights."""

    skin: Colour
    hair: Colour
    top: Colour
    bottom: Colour
    shoe: Colour
    build: float  # factor of all widths; 1 is lean
    loose: float  # factor of the widths of clothed limbs
    short_sleeves: bool
    legs: str  # "trousers", "shorts" or "skirt"


@dataclass(frozen=True, slots=True)
class Limb:
    """A tapered limb between two joints."""

    ends: tuple[str, str]  # names of the joints
    radii: tuple[float, float]  # at the ends, body heights
    colour: Colour


def generate_appearance(rng: np.random.Generator) -> Appearance:
    """Generate a build, a skin colour and clothes."""
    skin = np.array([240, 195, 165]) * rng.uniform(0.35, 1.0)
    return Appearance(
        skin=_colour(skin),
        hair=_colour(np.array([200, 170, 140]) * rng.uniform(0.1, 1.1)),
        top=_colour(rng.uniform(20, 235, 3)),
        bottom=_colour(rng.uniform(15, 200, 3)),
        shoe=_colour(rng.uniform(10, 230) * np.ones(3) * rng.uniform(0.8, 1.0, 3)),
        build=rng.uniform(0.85, 1.35),
        loose=rng.uniform(1.0, 1.35),
        short_sleeves=bool(rng.random() < 0.4),
        legs=str(rng.choice(["trousers", "shorts", "skirt"], p=[0.72, 0.2, 0.08])),
    )


def render_frames(
    rng: np.random.Generator, appearance: Appearance, pixels: Points, depths: Points, lens: Lens
) -> Image:
    """Render the walker at every moment.

    Args:
        rng: decides room, light and sensor noise.
        appearance: the walker's build and clothes.
        pixels: (T, J, 2) x, y of each of JOINTS in the picture, px.
        depths: (T, J) distances of the joints from the camera, body heights.
        lens: the camera, which moves the room behind the walker.

    Returns:
        (T, side, side, 3) uint8 RGB.
    """
    backgrounds = _backgrounds(rng, lens)
    light = rng.uniform(-1, 1, 2)
    frames = []
    for moment, canvas in enumerate(backgrounds):
        points = dict(zip(JOINTS, pixels[moment], strict=True))
        distances = dict(zip(JOINTS, depths[moment], strict=True))
        scale = lens.camera.focal * lens.side / distances["pelvis"]
        _draw_shadow(canvas, points, scale)
        _draw_figure(canvas, appearance, points, distances, scale=scale, light=light)
        frames.append(canvas)
    return _expose(rng, np.stack(frames))


def _limbs(appearance: Appearance) -> list[Limb]:
    """Return thighs, shins, feet, upper arms and forearms of both sides."""
    thin, wide = appearance.build, appearance.build * appearance.loose
    calf = appearance.bottom if appearance.legs == "trousers" else appearance.skin
    forearm = appearance.skin if appearance.short_sleeves else appearance.top
    shin = wide if appearance.legs == "trousers" else thin
    limbs = []
    for side in ("left", "right"):
        joints = {part: f"{side}_{part}" for part in PARTS}
        limbs += [
            Limb((joints["hip"], joints["knee"]), (0.052 * wide, 0.036 * wide), appearance.bottom),
            Limb((joints["knee"], joints["ankle"]), (0.036 * shin, 0.024 * shin), calf),
            Limb((joints["heel"], joints["toe"]), (0.022, 0.016), appearance.shoe),
            Limb(
                (joints["shoulder"], joints["elbow"]), (0.03 * wide, 0.025 * wide), appearance.top
            ),
            Limb((joints["elbow"], joints["hand"]), (0.023 * thin, 0.019 * thin), forearm),
        ]
    return limbs


def _draw_figure(
    canvas: Image,
    appearance: Appearance,
    points: dict[str, Points],
    distances: dict[str, float],
    *,
    scale: float,
    light: Points,
) -> None:
    """Draw limbs, trunk and head, the farthest first."""
    parts = [
        (distances[limb.ends[0]] + distances[limb.ends[1]], limb) for limb in _limbs(appearance)
    ]
    trunk = distances["pelvis"] + distances["neck"]
    behind = sorted((p for p in parts if p[0] >= trunk), key=lambda p: -p[0])
    in_front = sorted((p for p in parts if p[0] < trunk), key=lambda p: -p[0])
    for _, limb in behind:
        _draw_limb(canvas, limb, points, scale=scale, light=light)
    _draw_trunk(canvas, appearance, points, scale=scale, light=light)
    for _, limb in in_front:
        _draw_limb(canvas, limb, points, scale=scale, light=light)


def _draw_limb(
    canvas: Image, limb: Limb, points: dict[str, Points], *, scale: float, light: Points
) -> None:
    discs = [
        (points[end], radius * scale) for end, radius in zip(limb.ends, limb.radii, strict=True)
    ]
    _draw_hull(canvas, discs, limb.colour, light)


def _draw_trunk(
    canvas: Image, appearance: Appearance, points: dict[str, Points], *, scale: float, light: Points
) -> None:
    wide = appearance.build * appearance.loose * scale
    hips = [(points[f"{side}_hip"], 0.062 * wide) for side in ("left", "right")]
    shoulders = [(points[f"{side}_shoulder"], 0.04 * wide) for side in ("left", "right")]
    if appearance.legs == "skirt":
        hems = [(points[f"{side}_knee"], 0.05 * wide) for side in ("left", "right")]
        _draw_hull(canvas, [*hips, *hems], appearance.bottom, light)
    else:
        _draw_hull(canvas, hips, appearance.bottom, light)
    waist = (0.25 * points["neck"] + 0.75 * points["pelvis"], 0.068 * wide)
    chest = (0.7 * points["neck"] + 0.3 * points["pelvis"], 0.066 * wide)
    _draw_hull(canvas, [waist, chest, *shoulders], appearance.top, light)
    _draw_hull(
        canvas,
        [(points["neck"], 0.026 * scale), (points["head"], 0.03 * scale)],
        appearance.skin,
        light,
    )
    _draw_hull(canvas, [(points["head"], 0.062 * scale)], appearance.skin, light)
    crown = points["head"] + 0.35 * (points["head"] - points["neck"])
    _draw_hull(canvas, [(crown, 0.052 * scale)], appearance.hair, light)


def _draw_hull(
    canvas: Image, discs: list[tuple[Points, float]], colour: Colour, light: Points
) -> None:
    """Draw the hull of discs (center, radius), darker at the rim away from the light."""
    for share, shade in ((1.0, 0.72), (0.72, 1.0)):
        outline = np.concatenate(
            [
                center + radius * (share * CIRCLE + (1 - share) * 0.8 * light)
                for center, radius in discs
            ]
        )
        hull = cv2.convexHull((outline * (1 << SHIFT)).round().astype(np.int32))
        tint = tuple(shade * value for value in colour)
        cv2.fillConvexPoly(canvas, hull, tint, cv2.LINE_AA, SHIFT)


def _draw_shadow(canvas: Image, points: dict[str, Points], scale: float) -> None:
    feet = [points[f"{side}_{part}"] for side in ("left", "right") for part in ("heel", "toe")]
    middle = np.mean(feet, axis=0)
    lowest = max(foot[1] for foot in feet)
    axes = (0.16 * scale, 0.03 * scale)
    overlay = canvas.copy()
    centre = (round(float(middle[0])), round(float(lowest)))
    size = (round(axes[0]), max(1, round(axes[1])))
    cv2.ellipse(overlay, centre, size, 0, 0, 360, (30, 30, 30), -1, cv2.LINE_AA)
    canvas[:] = cv2.addWeighted(overlay, 0.4, canvas, 0.6, 0)


def _backgrounds(rng: np.random.Generator, lens: Lens) -> Iterator[Image]:
    """Yield the room at every moment; it moves past a camera that follows the walker."""
    side = lens.side
    pan = lens.pan() * rng.uniform(0.3, 1.0)  # the farther the wall, the slower
    margin = int(np.ceil(np.abs(pan).max())) + 8
    room = _room(rng, side, side + 2 * margin, horizon=_horizon(lens))
    for offset, tremble in zip(pan, lens.trembling, strict=True):
        moved = np.array([[1, 0, -margin - offset + tremble[0]], [0, 1, tremble[1]]])
        yield cv2.warpAffine(
            room, moved, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        ).astype(np.uint8)


def _horizon(lens: Lens) -> int:
    """Return the row where the floor meets the wall, a little behind the feet, px."""
    ground = np.array([[[0.0, 0.0, 0.06]]]) + lens.targets[:1, None] * [1, 1, 0]
    pixels, _ = lens.project(np.repeat(ground, len(lens.targets), 0))
    return int(np.clip(pixels[0, 0, 1] - 4, 10, lens.side - 6))


def _room(rng: np.random.Generator, height: int, width: int, *, horizon: int) -> Image:
    """Generate a wall and a floor, with rectangles for doors, windows and furniture."""
    wall, floor = rng.uniform(20, 235, 3), rng.uniform(20, 220, 3)
    grey = rng.uniform(0.4, 1)  # most rooms are not colourful
    wall, floor = (c * (1 - grey) + c.mean() * grey for c in (wall, floor))
    room = np.empty((height, width, 3), np.float32)
    room[:horizon], room[horizon:] = wall, floor
    for _ in range(int(rng.integers(0, 7))):
        left, top = rng.integers(-20, width), rng.integers(-20, horizon)
        right, bottom = left + rng.integers(10, 90), top + rng.integers(10, 150)
        tint = tuple(float(v) for v in rng.uniform(20, 235) * rng.uniform(0.8, 1.2, 3))
        cv2.rectangle(room, (int(left), int(top)), (int(right), int(bottom)), tint, -1)
    for cells in (4, 16, 64):  # uneven light, stains, grain
        grid = rng.uniform(-1, 1, (cells, cells, 1)).astype(np.float32)
        texture = cv2.resize(grid, (width, height), interpolation=cv2.INTER_LINEAR)
        room += texture[..., np.newaxis] * np.float32(rng.uniform(0, 22))
    return np.clip(room, 0, 255).astype(np.uint8)


def _expose(rng: np.random.Generator, frames: Image) -> Image:
    """Add light, blur and sensor noise; some clips become grey."""
    gain, gamma = rng.uniform(0.55, 1.35), rng.uniform(0.7, 1.4)
    table = np.clip((np.arange(256) / 255) ** gamma * gain * 255, 0, 255).astype(np.uint8)
    blur, grey = rng.uniform(0.0, 1.0), rng.random() < 0.12
    side = frames.shape[1]
    grain = rng.standard_normal((side + 32, side + 32, 3), np.float32) * rng.uniform(0, 9)
    exposed = []
    for frame in frames:
        lit = cv2.LUT(frame, table)
        if grey:
            lit = cv2.cvtColor(cv2.cvtColor(lit, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        if blur > 0.35:
            lit = cv2.GaussianBlur(lit, (0, 0), blur)
        y, x = rng.integers(0, 32, 2)
        noisy = lit + grain[y : y + side, x : x + side]
        exposed.append(np.clip(noisy + 0.5, 0, 255).astype(np.uint8))
    return np.stack(exposed)


def _colour(values: NDArray[np.float64]) -> Colour:
    """Return three levels, limited to 0 and 255, as OpenCV takes them."""
    red, green, blue = (float(value) for value in np.clip(values, 0, 255))
    return red, green, blue

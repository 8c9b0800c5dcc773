"""Paint a walker: build and clothes, limbs by distance, floor and wall, light and noise."""

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

SHIFT = 4  # bits of a pixel's fraction that OpenCV draws with: limbs move smoothly
ARC = np.linspace(0, 2 * np.pi, 16, endpoint=False)
CIRCLE = np.stack([np.cos(ARC), np.sin(ARC)], 1)


@dataclass(frozen=True, slots=True)
class Look:
    """What a walker wears and is built like; widths are radii in body heights."""

    skin: Colour
    hair: Colour
    top: Colour
    bottom: Colour
    shoe: Colour
    build: float  # of all widths; 1 is lean
    loose: float  # of the clothed limbs' widths
    short_sleeves: bool
    legs: str  # "trousers", "shorts" or "skirt"


@dataclass(frozen=True, slots=True)
class Limb:
    """A tapered part between two joints."""

    ends: tuple[str, str]
    radii: tuple[float, float]
    colour: Colour


def draw_look(rng: np.random.Generator) -> Look:
    """Anybody."""
    skin = np.array([240, 195, 165]) * rng.uniform(0.35, 1.0)
    return Look(
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


def paint(
    rng: np.random.Generator, look: Look, pixels: Points, depths: Points, lens: Lens
) -> Image:
    """Draw every moment.

    Args:
        rng: surroundings, light and sensor.
        look: the walker's.
        pixels: (T, J, 2) where each of JOINTS is in the picture, px.
        depths: (T, J) how far each is from the camera, body heights.
        lens: the camera, for what is behind the walker.

    Returns:
        (T, side, side, 3) uint8 RGB.
    """
    wall = _wall(rng, lens)
    light = rng.uniform(-1, 1, 2)
    frames = []
    for moment, canvas in enumerate(wall):
        spots = dict(zip(JOINTS, pixels[moment], strict=True))
        far = dict(zip(JOINTS, depths[moment], strict=True))
        scale = lens.camera.focal * lens.side / far["pelvis"]
        _shadow(canvas, spots, scale)
        _figure(canvas, look, spots, far, scale=scale, light=light)
        frames.append(canvas)
    return _developed(rng, np.stack(frames))


def _limbs(look: Look) -> list[Limb]:
    thin, wide = look.build, look.build * look.loose
    calf = look.bottom if look.legs == "trousers" else look.skin
    forearm = look.skin if look.short_sleeves else look.top
    shin = wide if look.legs == "trousers" else thin
    limbs = []
    for side in ("left", "right"):
        joints = {part: f"{side}_{part}" for part in PARTS}
        limbs += [
            Limb((joints["hip"], joints["knee"]), (0.052 * wide, 0.036 * wide), look.bottom),
            Limb((joints["knee"], joints["ankle"]), (0.036 * shin, 0.024 * shin), calf),
            Limb((joints["heel"], joints["toe"]), (0.022, 0.016), look.shoe),
            Limb((joints["shoulder"], joints["elbow"]), (0.03 * wide, 0.025 * wide), look.top),
            Limb((joints["elbow"], joints["hand"]), (0.023 * thin, 0.019 * thin), forearm),
        ]
    return limbs


def _figure(
    canvas: Image,
    look: Look,
    spots: dict[str, Points],
    far: dict[str, float],
    *,
    scale: float,
    light: Points,
) -> None:
    """Limbs, trunk and head, the far ones first."""
    parts = [(far[limb.ends[0]] + far[limb.ends[1]], limb) for limb in _limbs(look)]
    trunk = far["pelvis"] + far["neck"]
    behind = sorted((p for p in parts if p[0] >= trunk), key=lambda p: -p[0])
    before = sorted((p for p in parts if p[0] < trunk), key=lambda p: -p[0])
    for _, limb in behind:
        _limb(canvas, limb, spots, scale=scale, light=light)
    _trunk(canvas, look, spots, scale=scale, light=light)
    for _, limb in before:
        _limb(canvas, limb, spots, scale=scale, light=light)


def _limb(
    canvas: Image, limb: Limb, spots: dict[str, Points], *, scale: float, light: Points
) -> None:
    discs = [
        (spots[end], radius * scale) for end, radius in zip(limb.ends, limb.radii, strict=True)
    ]
    _solid(canvas, discs, limb.colour, light)


def _trunk(
    canvas: Image, look: Look, spots: dict[str, Points], *, scale: float, light: Points
) -> None:
    wide = look.build * look.loose * scale
    hips = [(spots[f"{side}_hip"], 0.062 * wide) for side in ("left", "right")]
    shoulders = [(spots[f"{side}_shoulder"], 0.04 * wide) for side in ("left", "right")]
    if look.legs == "skirt":
        hems = [(spots[f"{side}_knee"], 0.05 * wide) for side in ("left", "right")]
        _solid(canvas, [*hips, *hems], look.bottom, light)
    else:
        _solid(canvas, hips, look.bottom, light)
    waist = (0.25 * spots["neck"] + 0.75 * spots["pelvis"], 0.068 * wide)
    chest = (0.7 * spots["neck"] + 0.3 * spots["pelvis"], 0.066 * wide)
    _solid(canvas, [waist, chest, *shoulders], look.top, light)
    _solid(
        canvas, [(spots["neck"], 0.026 * scale), (spots["head"], 0.03 * scale)], look.skin, light
    )
    _solid(canvas, [(spots["head"], 0.062 * scale)], look.skin, light)
    crown = spots["head"] + 0.35 * (spots["head"] - spots["neck"])
    _solid(canvas, [(crown, 0.052 * scale)], look.hair, light)


def _solid(canvas: Image, discs: list[tuple[Points, float]], colour: Colour, light: Points) -> None:
    """The hull of some discs, darker at the rim that the light does not reach."""
    for share, shade in ((1.0, 0.72), (0.72, 1.0)):
        outline = np.concatenate(
            [spot + radius * (share * CIRCLE + (1 - share) * 0.8 * light) for spot, radius in discs]
        )
        hull = cv2.convexHull((outline * (1 << SHIFT)).round().astype(np.int32))
        tint = tuple(shade * value for value in colour)
        cv2.fillConvexPoly(canvas, hull, tint, cv2.LINE_AA, SHIFT)


def _shadow(canvas: Image, spots: dict[str, Points], scale: float) -> None:
    feet = [spots[f"{side}_{part}"] for side in ("left", "right") for part in ("heel", "toe")]
    middle = np.mean(feet, axis=0)
    lowest = max(foot[1] for foot in feet)
    axes = (0.16 * scale, 0.03 * scale)
    overlay = canvas.copy()
    centre = (round(float(middle[0])), round(float(lowest)))
    size = (round(axes[0]), max(1, round(axes[1])))
    cv2.ellipse(overlay, centre, size, 0, 0, 360, (30, 30, 30), -1, cv2.LINE_AA)
    canvas[:] = cv2.addWeighted(overlay, 0.4, canvas, 0.6, 0)


def _wall(rng: np.random.Generator, lens: Lens) -> Iterator[Image]:
    """What is behind the walker, moving past a camera that follows."""
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
    """Where the floor meets the wall: a little behind the feet, in px."""
    ground = np.array([[[0.0, 0.0, 0.06]]]) + lens.targets[:1, None] * [1, 1, 0]
    pixels, _ = lens.project(np.repeat(ground, len(lens.targets), 0))
    return int(np.clip(pixels[0, 0, 1] - 4, 10, lens.side - 6))


def _room(rng: np.random.Generator, height: int, width: int, *, horizon: int) -> Image:
    wall, floor = rng.uniform(20, 235, 3), rng.uniform(20, 220, 3)
    grey = rng.uniform(0.4, 1)  # most rooms are not colourful
    wall, floor = (c * (1 - grey) + c.mean() * grey for c in (wall, floor))
    room = np.empty((height, width, 3), np.float32)
    room[:horizon], room[horizon:] = wall, floor
    for _ in range(int(rng.integers(0, 7))):  # doors, windows, furniture
        left, top = rng.integers(-20, width), rng.integers(-20, horizon)
        right, bottom = left + rng.integers(10, 90), top + rng.integers(10, 150)
        tint = tuple(float(v) for v in rng.uniform(20, 235) * rng.uniform(0.8, 1.2, 3))
        cv2.rectangle(room, (int(left), int(top)), (int(right), int(bottom)), tint, -1)
    for cells in (4, 16, 64):  # uneven light, stains, grain
        grid = rng.uniform(-1, 1, (cells, cells, 1)).astype(np.float32)
        texture = cv2.resize(grid, (width, height), interpolation=cv2.INTER_LINEAR)
        room += texture[..., np.newaxis] * np.float32(rng.uniform(0, 22))
    return np.clip(room, 0, 255).astype(np.uint8)


def _developed(rng: np.random.Generator, frames: Image) -> Image:
    """Light, blur, sensor noise; sometimes without colour."""
    gain, gamma = rng.uniform(0.55, 1.35), rng.uniform(0.7, 1.4)
    table = np.clip((np.arange(256) / 255) ** gamma * gain * 255, 0, 255).astype(np.uint8)
    blur, grey = rng.uniform(0.0, 1.0), rng.random() < 0.12
    side = frames.shape[1]
    grain = rng.standard_normal((side + 32, side + 32, 3), np.float32) * rng.uniform(0, 9)
    developed = []
    for frame in frames:
        lit = cv2.LUT(frame, table)
        if grey:
            lit = cv2.cvtColor(cv2.cvtColor(lit, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        if blur > 0.35:
            lit = cv2.GaussianBlur(lit, (0, 0), blur)
        y, x = rng.integers(0, 32, 2)
        noisy = lit + grain[y : y + side, x : x + side]
        developed.append(np.clip(noisy + 0.5, 0, 255).astype(np.uint8))
    return np.stack(developed)


def _colour(values: NDArray[np.float64]) -> Colour:
    red, green, blue = (float(value) for value in np.clip(values, 0, 255))
    return red, green, blue

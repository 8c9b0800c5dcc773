"""Joints of an articulated figure at any moment, from the parameters of its gait.

Axes: x forward, y to the walker's left, z up, in body heights; the ground is z = 0. Segment lengths
are those of Drillis and Contini (1966); the joint angle curves have the shapes that Winter shows in
Biomechanics and Motor Control of Human Movement.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from convert.samples.walkers.gaits import GaitParameters

Series = NDArray[np.float64]  # (S,), one value per moment
Points = NDArray[np.float64]  # (S, 3)

RATE_HZ = 120.0  # moments per second for integrating the path
TOE_OFF = 0.62  # phase at which the foot leaves the ground in the curves below

# lengths of segments, body heights
THIGH, SHANK, FOOT, ANKLE_HEIGHT = 0.245, 0.246, 0.115, 0.039
HEEL, TRUNK, UPPER_ARM, FOREARM, HEAD = 0.04, 0.288, 0.186, 0.2, 0.11
HIP_HALF, SHOULDER_HALF = 0.055, 0.11

# extremes of joint angles as (phase of the stride, degrees); `curve` interpolates between them
HIP = ((0.0, 28.0), (0.5, -11.0), (0.86, 31.0))
KNEE = ((0.0, 4.0), (0.14, 17.0), (0.4, 5.0), (0.72, 60.0), (0.97, 2.0))
ANKLE = ((0.0, 0.0), (0.07, -6.0), (0.46, 10.0), (0.63, -18.0), (0.8, 2.0))
# likewise, from 0 to 1: how far the leg is in its swing, and how much load its foot bears
SWING = ((0.0, 0.0), (TOE_OFF - 0.04, 0.0), (0.79, 1.0), (0.97, 0.0))
LOAD = ((0.06, 1.0), (0.5, 1.0), (0.68, 0.0), (0.92, 0.0))

SIDES = ("left", "right")
PARTS = ("hip", "knee", "ankle", "heel", "toe", "shoulder", "elbow", "hand")
JOINTS = ("pelvis", "neck", "head", *(f"{side}_{part}" for side in SIDES for part in PARTS))


def simulate_walk(
    rng: np.random.Generator, gait: GaitParameters, *, times: Series
) -> tuple[Points, Points]:
    """Compute the joints of a walker whose feet do not slide while they are on the ground.

    Args:
        rng: decides the first phase of the stride, and the irregularities.
        gait: the walker's parameters.
        times: (T,) seconds from 0, increasing.

    Returns:
        joints: (T, J, 3) in the order of JOINTS.
        path: (T, 3) positions on the straight line of constant speed that fits the walk best, for a
            camera to follow.
    """
    moments = np.arange(0, times[-1] + 1.0, 1 / RATE_HZ)
    joints = _pose(rng, gait, moments)
    coordinates = (np.interp(times, moments, axis) for name in JOINTS for axis in joints[name].T)
    at_times = np.stack(list(coordinates), 1).reshape(len(times), len(JOINTS), 3)
    path = np.zeros((len(times), 3))
    slope, start = np.polyfit(times, at_times[:, JOINTS.index("pelvis"), 0], 1)
    path[:, 0] = start + slope * times
    return at_times, path


def _pose(rng: np.random.Generator, gait: GaitParameters, moments: Series) -> dict[str, Points]:
    """Return the joints at every moment, (S, 3) each, by name."""
    jitter = gait.irregularity
    phase = gait.cadence * moments + rng.uniform() + 0.25 * jitter * _wander(rng, moments)
    phases = [phase, phase - gait.lag + 0.15 * jitter * _wander(rng, moments)]
    phases = [_warp(p % 1, gait.stance[side]) for side, p in enumerate(phases)]
    loads = [curve(p, LOAD) for p in phases]
    legs = [_leg(rng, gait, side, phases[side], moments) for side in range(2)]

    pelvis = np.zeros((len(moments), 3))
    pelvis[:, 2] = -np.min([leg[part][:, 2] for leg in legs for part in ("heel", "toe")], axis=0)
    pelvis[:, 0] = _travel([leg["ankle"][:, 0] for leg in legs], loads)
    pelvis[:, 1] = 0.06 * jitter * _wander(rng, moments)
    joints = {"pelvis": pelvis, **_trunk(rng, gait, pelvis, loads, moments)}
    for side, name in enumerate(SIDES):
        joints.update({f"{name}_{k}": pelvis + v for k, v in legs[side].items()})
        arm = _arm(rng, gait, side, phases[1 - side], moments)
        joints.update({f"{name}_{k}": joints[f"{name}_shoulder"] + v for k, v in arm.items()})
    return joints


def curve(phase: Series, extremes: tuple[tuple[float, float], ...]) -> Series:
    """Return the value at each phase in [0, 1): cosine-eased between the extremes, periodic."""
    knots = np.array([*extremes, (extremes[0][0] + 1, extremes[0][1])])
    wrapped = np.where(phase < knots[0, 0], phase + 1, phase)
    after = np.clip(np.searchsorted(knots[:, 0], wrapped, side="right"), 1, len(knots) - 1)
    (x0, y0), (x1, y1) = knots[after - 1].T, knots[after].T
    eased = 0.5 - 0.5 * np.cos(np.pi * (wrapped - x0) / (x1 - x0))
    return y0 + (y1 - y0) * eased


def _warp(phase: Series, stance: float) -> Series:
    """Stretch the phase so that the foot is on the ground for a share `stance` of the stride."""
    return np.interp(phase, (0.0, stance, 1.0), (0.0, TOE_OFF, 1.0))


def _wander(rng: np.random.Generator, moments: Series) -> Series:
    """Return smooth noise with a standard deviation of about 1 that changes within 0.35 s."""
    knots = np.arange(-1.0, moments[-1] + 1.0, 0.35)
    values = rng.normal(0, 1, len(knots))
    coarse = np.interp(moments, knots, values)
    width = int(0.3 * RATE_HZ)
    padded = np.pad(coarse, width, mode="edge")
    return np.convolve(padded, np.hanning(2 * width + 1) / width, mode="valid")


def _leg(
    rng: np.random.Generator, gait: GaitParameters, side: int, phase: Series, moments: Series
) -> Mapping[str, Points]:
    """Return hip, knee, ankle, heel and toe of a side relative to the pelvis."""
    outward, swing = (1.0, -1.0)[side], curve(phase, SWING)
    vary = 1 + gait.irregularity * _wander(rng, moments)
    lift = gait.hip_lift[side] * swing
    hip = gait.hip_offset + gait.hip_scale[side] * vary * curve(phase, HIP) + lift
    knee = gait.knee_offset[side] + gait.knee_scale[side] * vary * curve(phase, KNEE) + lift
    ankle = gait.ankle_scale * curve(phase, ANKLE) - gait.foot_drop[side] * swing
    # keeps the foot on the ground flat in spite of constant flexion of hip and knee
    ankle = ankle + (gait.knee_offset[side] - gait.hip_offset) * (1 - swing)
    out = gait.abduction * vary + gait.circumduction[side] * swing
    out = out + 14 * gait.irregularity * swing * _wander(rng, moments)

    joint = np.zeros((len(phase), 3))
    joint[:, 1] = outward * HIP_HALF
    joint[:, 2] = gait.hike[side] * swing
    at_knee = joint + THIGH * _hanging(hip, outward * out)
    at_ankle = at_knee + SHANK * _hanging(hip - knee, outward * out)
    pitch = np.radians(hip - knee + ankle)
    toe_out = np.radians(outward * 7)
    along = np.stack(
        [np.cos(pitch) * np.cos(toe_out), np.cos(pitch) * np.sin(toe_out), np.sin(pitch)], 1
    )
    sole = np.stack([np.sin(pitch), np.zeros_like(pitch), -np.cos(pitch)], 1) * ANKLE_HEIGHT
    return {
        "hip": joint,
        "knee": at_knee,
        "ankle": at_ankle,
        "heel": at_ankle + sole - HEEL * along,
        "toe": at_ankle + sole + FOOT * along,
    }


def _trunk(
    rng: np.random.Generator,
    gait: GaitParameters,
    pelvis: Points,
    loads: list[Series],
    moments: Series,
) -> dict[str, Points]:
    """Return neck, head and shoulders, in the axes of the world."""
    leans = [gait.lurch[side] * (loads[side] - loads[1 - side]).clip(0) for side in range(2)]
    sideways = leans[0] - leans[1] + 14 * gait.irregularity * _wander(rng, moments)
    forward = gait.trunk_lean + 8 * gait.irregularity * _wander(rng, moments)
    neck = pelvis - TRUNK * _hanging(-forward, -sideways)
    head = neck - HEAD * _hanging(-forward - gait.neck_flexion, -0.6 * sideways)
    across = np.stack(
        [0 * sideways, np.cos(np.radians(sideways)), -np.sin(np.radians(sideways))], 1
    )
    lowered = neck - [0, 0, 0.02]
    return {
        "neck": neck,
        "head": head,
        "left_shoulder": lowered + SHOULDER_HALF * across,
        "right_shoulder": lowered - SHOULDER_HALF * across,
    }


def _arm(
    rng: np.random.Generator, gait: GaitParameters, side: int, phase: Series, moments: Series
) -> Mapping[str, Points]:
    """Return elbow and hand relative to the shoulder.

    `phase` is that of the other side's leg: an arm swings with it.
    """
    outward = (1.0, -1.0)[side]
    swing = gait.arm_swing[side] * (curve(phase, HIP) - 9) / 20
    swing = swing * (1 + gait.irregularity * _wander(rng, moments))
    upper = gait.arm_forward[side] + swing
    out = gait.arm_out[side] + 20 * gait.irregularity * _wander(rng, moments)
    bend = gait.elbow[side] + 0.4 * swing.clip(0)
    elbow = UPPER_ARM * _hanging(upper, outward * out)
    # a bent forearm crosses the body
    hand = elbow + FOREARM * _hanging(upper + bend, outward * (out - 0.25 * bend))
    return {"elbow": elbow, "hand": hand}


def _hanging(forward: Series, outward: Series | float) -> Points:
    """Return (S, 3) unit vectors: straight down, turned forward and to the left by degrees."""
    f, o = np.radians(forward), np.radians(outward) + np.zeros_like(forward)
    return np.stack([np.sin(f), np.cos(f) * np.sin(o), -np.cos(f) * np.cos(o)], 1)


def _travel(feet: list[Series], loads: list[Series]) -> Series:
    """Return the pelvis's position along the walk for which loaded feet do not move.

    Args:
        feet: x of each ankle relative to the pelvis.
        loads: each foot's load, 0 to 1.
    """
    weight = np.stack(loads) + 1e-6  # over 0, so that the last foot still counts during a hop
    back = np.diff(np.stack(feet), axis=1) * (weight[:, :-1] / weight[:, :-1].sum(0))
    return np.concatenate([[0.0], -np.cumsum(back.sum(0))])

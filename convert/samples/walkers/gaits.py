"""How somebody walks, in numbers that a gait laboratory measures, and the classes made of them.

A class is a change of those numbers; its severity says how far a healthy walker is moved there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace

import numpy as np

Pair = tuple[float, float]  # left, right

HEALTHY = "normal"
MILDEST = 0.35  # severity below which not even the parameters tell a class from a healthy walker


@dataclass(frozen=True, slots=True)
class Gait:
    """Parameters of one walker; angles in degrees, lengths in body heights, left before right."""

    cadence: float  # strides (two steps) per second
    lag: float  # of the right leg behind the left one, in strides; 0.5 is even
    irregularity: float  # spread of timing, amplitude and balance from step to step
    trunk_lean: float  # forward
    neck_flexion: float  # forward, added to the trunk's
    hip_offset: float  # constant hip flexion
    ankle_scale: float  # of the normal push-off and toe lift
    abduction: float  # of both legs: widens the steps
    hip_scale: Pair  # of the normal swing of the thigh: length of the steps
    hip_lift: Pair  # additional flexion of hip and knee in mid-swing
    knee_scale: Pair  # of the normal bending
    knee_offset: Pair  # constant flexion
    foot_drop: Pair  # toes down while the leg swings
    stance: Pair  # share of the stride that the foot is on the ground
    circumduction: Pair  # outward swing of the leg
    hike: Pair  # lift of the pelvis while its leg swings
    lurch: Pair  # sideways lean of the trunk over the standing leg
    arm_swing: Pair  # amplitude
    arm_forward: Pair  # constant flexion of the shoulder
    arm_out: Pair  # constant abduction of the shoulder
    elbow: Pair  # constant flexion


def draw_gait(rng: np.random.Generator, label: str, severity: float) -> Gait:
    """A walker of a class.

    Args:
        rng: decides everything about the walker that the class leaves open.
        label: one of LABELS.
        severity: 0 (healthy) to 1 (the class as in a textbook); a healthy walker has none.

    Raises:
        ValueError: another label.
    """
    if label not in CHANGES:
        raise ValueError(f"label {label!r}; known gaits: {', '.join(CHANGES)}")
    healthy = _healthy(rng)
    return _blend(healthy, CHANGES[label](rng, healthy), severity)


def _healthy(rng: np.random.Generator) -> Gait:
    """Somebody without a complaint: brisk or slow, upright or a little stooped, hands full."""
    hip, knee = rng.uniform(0.7, 1.15), rng.uniform(0.85, 1.1)
    stance, swing = rng.uniform(0.6, 0.64), rng.uniform(12, 28)
    arms = [swing * rng.uniform(0.85, 1.15) for _ in range(2)]
    elbows = [rng.uniform(8, 25) for _ in range(2)]
    if rng.random() < 0.2:  # a bag, a telephone, a hand in the pocket
        busy = int(rng.integers(2))
        arms[busy] *= rng.uniform(0.1, 0.4)
        elbows[busy] = rng.uniform(10, 90)
    return Gait(
        cadence=rng.uniform(0.75, 1.05),
        lag=0.5 + rng.uniform(-0.015, 0.015),
        irregularity=rng.uniform(0.01, 0.07),
        trunk_lean=rng.uniform(-2, 8),
        neck_flexion=rng.uniform(0, 12),
        hip_offset=rng.uniform(-2, 2),
        ankle_scale=rng.uniform(0.8, 1.1),
        abduction=rng.uniform(-0.5, 2.5),
        hip_scale=_around(rng, hip, 0.03),
        hip_lift=_both(rng, 0, 5),
        knee_scale=_around(rng, knee, 0.03),
        knee_offset=_both(rng, 0, 5),
        foot_drop=_both(rng, -3, 4),
        stance=_around(rng, stance, 0.008),
        circumduction=_both(rng, 0, 3),
        hike=_both(rng, 0, 0.01),
        lurch=_both(rng, 0, 3),
        arm_swing=(arms[0], arms[1]),
        arm_forward=_both(rng, -4, 6),
        arm_out=_both(rng, 3, 11),
        elbow=(elbows[0], elbows[1]),
    )


def _unchanged(_rng: np.random.Generator, gait: Gait) -> Gait:
    return gait


def _hemiparetic(rng: np.random.Generator, gait: Gait) -> Gait:
    """One stiff leg swung outward in a half circle, the arm of that side bent and still."""
    side = int(rng.integers(2))
    return replace(
        gait,
        cadence=gait.cadence * rng.uniform(0.62, 0.75),
        hip_scale=_sided(side, gait.hip_scale[side] * 0.65, gait.hip_scale[1 - side] * 0.8),
        knee_scale=_sided(side, rng.uniform(0.2, 0.4), gait.knee_scale[1 - side]),
        foot_drop=_sided(side, rng.uniform(12, 22), gait.foot_drop[1 - side]),
        stance=_sided(side, rng.uniform(0.54, 0.58), rng.uniform(0.69, 0.74)),
        circumduction=_sided(side, rng.uniform(14, 22), gait.circumduction[1 - side]),
        hike=_sided(side, rng.uniform(0.03, 0.05), 0.0),
        lurch=_sided(side, 1.0, rng.uniform(6, 11)),
        arm_swing=_sided(side, rng.uniform(0, 4), gait.arm_swing[1 - side]),
        arm_forward=_sided(side, rng.uniform(5, 20), gait.arm_forward[1 - side]),
        arm_out=_sided(side, rng.uniform(-2, 8), gait.arm_out[1 - side]),
        elbow=_sided(side, rng.uniform(80, 115), gait.elbow[1 - side]),
    )


def _parkinsonian(rng: np.random.Generator, gait: Gait) -> Gait:
    """Stooped, knees bent, short quick shuffling steps, arms held still."""
    return replace(
        gait,
        cadence=gait.cadence * rng.uniform(1.1, 1.35),
        trunk_lean=rng.uniform(20, 34),
        neck_flexion=rng.uniform(18, 35),
        hip_offset=rng.uniform(8, 14),
        ankle_scale=rng.uniform(0.25, 0.45),
        abduction=rng.uniform(-1, 1),
        hip_scale=_around(rng, rng.uniform(0.28, 0.45), 0.03),
        hip_lift=(0.0, 0.0),
        knee_scale=_around(rng, rng.uniform(0.4, 0.55), 0.03),
        knee_offset=_around(rng, rng.uniform(14, 22), 1.5),
        stance=_around(rng, rng.uniform(0.68, 0.73), 0.01),
        arm_swing=_both(rng, 0, 5),
        arm_forward=_both(rng, 5, 15),
        elbow=_both(rng, 45, 75),
    )


def _antalgic(rng: np.random.Generator, gait: Gait) -> Gait:
    """One leg hurts: it bears weight only briefly, and the trunk leans over it meanwhile."""
    side = int(rng.integers(2))
    return replace(
        gait,
        cadence=gait.cadence * rng.uniform(0.8, 0.95),
        lag=gait.lag + (0.5 - side) * rng.uniform(0.1, 0.16),
        hip_scale=_sided(side, gait.hip_scale[side] * 0.85, gait.hip_scale[1 - side] * 0.6),
        knee_scale=_sided(side, gait.knee_scale[side] * 0.65, gait.knee_scale[1 - side]),
        knee_offset=_sided(side, rng.uniform(5, 12), gait.knee_offset[1 - side]),
        stance=_sided(side, rng.uniform(0.46, 0.51), rng.uniform(0.7, 0.75)),
        lurch=_sided(side, rng.uniform(10, 17), 1.0),
        arm_swing=(gait.arm_swing[0] * 0.75, gait.arm_swing[1] * 0.75),
    )


def _ataxic(rng: np.random.Generator, gait: Gait) -> Gait:
    """Legs wide apart, arms out for balance, no step like the one before."""
    return replace(
        gait,
        cadence=gait.cadence * rng.uniform(0.7, 0.85),
        irregularity=rng.uniform(0.32, 0.45),
        abduction=rng.uniform(7, 11),
        hip_scale=_around(rng, gait.hip_scale[0] * 0.85, 0.05),
        stance=_around(rng, rng.uniform(0.66, 0.7), 0.01),
        lurch=_both(rng, 4, 9),
        arm_out=_both(rng, 18, 32),
        arm_swing=(gait.arm_swing[0] * 0.7, gait.arm_swing[1] * 0.7),
    )


def _steppage(rng: np.random.Generator, gait: Gait) -> Gait:
    """The foot hangs, so the knee is lifted high for the toes to clear; one side or both."""
    lift, drop, knee = rng.uniform(24, 36), rng.uniform(28, 42), rng.uniform(1.0, 1.15)
    sides = (True, True) if rng.random() < 0.5 else _sided(int(rng.integers(2)), True, False)

    def on(weak: float, own: Pair) -> Pair:
        return weak if sides[0] else own[0], weak if sides[1] else own[1]

    return replace(
        gait,
        cadence=gait.cadence * rng.uniform(0.8, 0.92),
        hip_lift=on(lift, gait.hip_lift),
        knee_scale=on(knee, gait.knee_scale),
        foot_drop=on(drop, gait.foot_drop),
    )


def _both(rng: np.random.Generator, low: float, high: float) -> Pair:
    return rng.uniform(low, high), rng.uniform(low, high)


def _around(rng: np.random.Generator, centre: float, spread: float) -> Pair:
    return centre + rng.uniform(-spread, spread), centre + rng.uniform(-spread, spread)


def _sided(side: int, affected: float, other: float) -> Pair:
    return (affected, other) if side == 0 else (other, affected)


def _blend(start: Gait, end: Gait, share: float) -> Gait:
    """Each parameter `share` of the way from one gait to another."""
    values = {}
    for field in fields(Gait):
        one, two = (np.asarray(getattr(gait, field.name), float) for gait in (start, end))
        mixed = one + (two - one) * share
        values[field.name] = float(mixed) if mixed.ndim == 0 else (float(mixed[0]), float(mixed[1]))
    return Gait(**values)  # type: ignore[arg-type]  # floats and pairs as the fields have them


CHANGES: Mapping[str, Callable[[np.random.Generator, Gait], Gait]] = {
    HEALTHY: _unchanged,
    "hemiparetic": _hemiparetic,
    "parkinsonian": _parkinsonian,
    "antalgic": _antalgic,
    "ataxic": _ataxic,
    "steppage": _steppage,
}
LABELS = tuple(CHANGES)

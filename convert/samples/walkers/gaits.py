"""Parameters of a walk, as a gait laboratory measures them, and the classes of gait.

A class changes the parameters of a healthy walker; its severity is the share of that change.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace

import numpy as np

Pair = tuple[float, float]  # left, right

HEALTHY = "normal"
MIN_SEVERITY = 0.35  # below it, parameters of a class overlap with those of healthy walkers


@dataclass(frozen=True, slots=True)
class GaitParameters:
    """Parameters of one walker; angles in degrees, lengths in body heights, pairs left, right."""

    cadence: float  # strides (two steps) per second
    lag: float  # of the right leg behind the left one, in strides; 0.5 is even
    irregularity: float  # variation of timing, amplitude and balance from step to step
    trunk_lean: float  # forward
    neck_flexion: float  # forward, in addition to the trunk
    hip_offset: float  # constant hip flexion
    ankle_scale: float  # factor of the normal push-off and toe lift
    abduction: float  # of both legs: widens the steps
    hip_scale: Pair  # factor of the normal swing of the thigh, hence of the step length
    hip_lift: Pair  # additional flexion of hip and knee in mid-swing
    knee_scale: Pair  # factor of the normal bending
    knee_offset: Pair  # constant flexion
    foot_drop: Pair  # plantar flexion while the leg swings: toes point down
    stance: Pair  # share of the stride that the foot is on the ground
    circumduction: Pair  # outward swing of the leg
    hike: Pair  # lift of the pelvis while the leg swings
    lurch: Pair  # sideways lean of the trunk over the standing leg
    arm_swing: Pair  # amplitude
    arm_forward: Pair  # constant flexion of the shoulder
    arm_out: Pair  # constant abduction of the shoulder
    elbow: Pair  # constant flexion


def generate_gait(rng: np.random.Generator, label: str, severity: float) -> GaitParameters:
    """Generate a walker of a class.

    Args:
        rng: decides everything that the class leaves open.
        label: one of LABELS.
        severity: 0 (healthy) to 1 (the class as in a textbook); without effect on healthy walkers.

    Raises:
        ValueError: the label is unknown.
    """
    if label not in CHANGES:
        raise ValueError(f"label {label!r}; known gaits: {', '.join(CHANGES)}")
    healthy = _healthy(rng)
    return _blend(healthy, CHANGES[label](rng, healthy), severity)


def _healthy(rng: np.random.Generator) -> GaitParameters:
    """Generate a walker without a complaint: brisk or slow, upright or a little stooped."""
    hip, knee = rng.uniform(0.7, 1.15), rng.uniform(0.85, 1.1)
    stance, swing = rng.uniform(0.6, 0.64), rng.uniform(12, 28)
    arms = [swing * rng.uniform(0.85, 1.15) for _ in range(2)]
    elbows = [rng.uniform(8, 25) for _ in range(2)]
    if rng.random() < 0.2:  # one arm carries a bag, holds a telephone, has its hand in a pocket
        busy = int(rng.integers(2))
        arms[busy] *= rng.uniform(0.1, 0.4)
        elbows[busy] = rng.uniform(10, 90)
    return GaitParameters(
        cadence=rng.uniform(0.75, 1.05),
        lag=0.5 + rng.uniform(-0.015, 0.015),
        irregularity=rng.uniform(0.01, 0.07),
        trunk_lean=rng.uniform(-2, 8),
        neck_flexion=rng.uniform(0, 12),
        hip_offset=rng.uniform(-2, 2),
        ankle_scale=rng.uniform(0.8, 1.1),
        abduction=rng.uniform(-0.5, 2.5),
        hip_scale=_near(rng, hip, 0.03),
        hip_lift=_both(rng, 0, 5),
        knee_scale=_near(rng, knee, 0.03),
        knee_offset=_both(rng, 0, 5),
        foot_drop=_both(rng, -3, 4),
        stance=_near(rng, stance, 0.008),
        circumduction=_both(rng, 0, 3),
        hike=_both(rng, 0, 0.01),
        lurch=_both(rng, 0, 3),
        arm_swing=(arms[0], arms[1]),
        arm_forward=_both(rng, -4, 6),
        arm_out=_both(rng, 3, 11),
        elbow=(elbows[0], elbows[1]),
    )


def _unchanged(_rng: np.random.Generator, gait: GaitParameters) -> GaitParameters:
    return gait


def _hemiparetic(rng: np.random.Generator, gait: GaitParameters) -> GaitParameters:
    """Stiffen one leg, which swings outward in a half circle, and bend the arm of that side."""
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


def _parkinsonian(rng: np.random.Generator, gait: GaitParameters) -> GaitParameters:
    """Stoop, bend the knees, shuffle in short quick steps, and hold the arms still."""
    return replace(
        gait,
        cadence=gait.cadence * rng.uniform(1.1, 1.35),
        trunk_lean=rng.uniform(20, 34),
        neck_flexion=rng.uniform(18, 35),
        hip_offset=rng.uniform(8, 14),
        ankle_scale=rng.uniform(0.25, 0.45),
        abduction=rng.uniform(-1, 1),
        hip_scale=_near(rng, rng.uniform(0.28, 0.45), 0.03),
        hip_lift=(0.0, 0.0),
        knee_scale=_near(rng, rng.uniform(0.4, 0.55), 0.03),
        knee_offset=_near(rng, rng.uniform(14, 22), 1.5),
        stance=_near(rng, rng.uniform(0.68, 0.73), 0.01),
        arm_swing=_both(rng, 0, 5),
        arm_forward=_both(rng, 5, 15),
        elbow=_both(rng, 45, 75),
    )


def _antalgic(rng: np.random.Generator, gait: GaitParameters) -> GaitParameters:
    """Load one leg, which hurts, only briefly, and lean the trunk over it meanwhile."""
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


def _ataxic(rng: np.random.Generator, gait: GaitParameters) -> GaitParameters:
    """Step wide and unevenly, with the arms out for balance."""
    return replace(
        gait,
        cadence=gait.cadence * rng.uniform(0.7, 0.85),
        irregularity=rng.uniform(0.32, 0.45),
        abduction=rng.uniform(7, 11),
        hip_scale=_near(rng, gait.hip_scale[0] * 0.85, 0.05),
        stance=_near(rng, rng.uniform(0.66, 0.7), 0.01),
        lurch=_both(rng, 4, 9),
        arm_out=_both(rng, 18, 32),
        arm_swing=(gait.arm_swing[0] * 0.7, gait.arm_swing[1] * 0.7),
    )


def _steppage(rng: np.random.Generator, gait: GaitParameters) -> GaitParameters:
    """Lift the knee high, because the foot hangs and its toes must clear; one side or both."""
    lift, drop, knee = rng.uniform(24, 36), rng.uniform(28, 42), rng.uniform(1.0, 1.15)
    sides = (True, True) if rng.random() < 0.5 else _sided(int(rng.integers(2)), True, False)

    def on_weak_sides(weak: float, healthy: Pair) -> Pair:
        return weak if sides[0] else healthy[0], weak if sides[1] else healthy[1]

    return replace(
        gait,
        cadence=gait.cadence * rng.uniform(0.8, 0.92),
        hip_lift=on_weak_sides(lift, gait.hip_lift),
        knee_scale=on_weak_sides(knee, gait.knee_scale),
        foot_drop=on_weak_sides(drop, gait.foot_drop),
    )


def _both(rng: np.random.Generator, low: float, high: float) -> Pair:
    """Return a value in a range for each side."""
    return rng.uniform(low, high), rng.uniform(low, high)


def _near(rng: np.random.Generator, center: float, spread: float) -> Pair:
    """Return a value near the center for each side."""
    return center + rng.uniform(-spread, spread), center + rng.uniform(-spread, spread)


def _sided(side: int, affected: float, other: float) -> Pair:
    """Return the pair whose value on the affected side (0 left, 1 right) is `affected`."""
    return (affected, other) if side == 0 else (other, affected)


def _blend(start: GaitParameters, end: GaitParameters, share: float) -> GaitParameters:
    """Interpolate every parameter between two gaits; share 1 is `end`."""
    values = {}
    for field in fields(GaitParameters):
        one, two = (np.asarray(getattr(gait, field.name), float) for gait in (start, end))
        mixed = one + (two - one) * share
        values[field.name] = float(mixed) if mixed.ndim == 0 else (float(mixed[0]), float(mixed[1]))
    return GaitParameters(**values)  # type: ignore[arg-type]  # a float or a pair, as its field


CHANGES: Mapping[str, Callable[[np.random.Generator, GaitParameters], GaitParameters]] = {
    HEALTHY: _unchanged,
    "hemiparetic": _hemiparetic,
    "parkinsonian": _parkinsonian,
    "antalgic": _antalgic,
    "ataxic": _ataxic,
    "steppage": _steppage,
}
LABELS = tuple(CHANGES)
